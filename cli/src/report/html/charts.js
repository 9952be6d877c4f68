// Shows a chart's values under the pointer. Without it the page lacks nothing else.
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const chart = JSON.parse(figure.dataset.chart);
  const plot = figure.querySelector(".plot");
  const columns = Math.max(...chart.values.map((values) => values.length));
  let cursor, tip;
  const leave = () => { cursor?.remove(); tip?.remove(); cursor = tip = undefined; };
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("pointermove", (event) => {
    const room = plot.getBoundingClientRect();
    const place = Math.floor((event.clientX - room.left) / room.width * columns);
    if (place < 0 || place >= columns) return leave();
    if (!tip) {
      cursor = plot.appendChild(Object.assign(document.createElement("div"), { className: "cursor" }));
      tip = plot.appendChild(Object.assign(document.createElement("div"), { className: "tip" }));
    }
    const lines = chart.names.map((name, line) => `${name}: ${chart.values[line][place] ?? "not measured"} ${chart.unit}`);
    tip.textContent = [`second ${place * chart.step}`, ...lines].join("\n");
    const middle = (place + 0.5) / columns * room.width;
    cursor.style.left = `${middle}px`;
    const right = middle + tip.offsetWidth + 12 > room.width;
    tip.style.left = `${right ? middle - tip.offsetWidth - 8 : middle + 8}px`;
  });
}
