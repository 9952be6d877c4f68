//! A report as a page: one file, no network, no framework.
//!
//! The page is made of typed data and the templates beside this file; charts are SVG of our own. Whatever stands in a
//! report is text and nothing else: everything is escaped, and the page forbids itself to load anything.

mod chart;
mod drill;
mod drill_run;
mod load;
mod origin;
mod over_time;
mod scale;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::document::Report;
use super::store::StoreError;

const TEMPLATES: [(&str, &str); 6] = [
    ("layout.html", include_str!("layout.html.j2")),
    ("style.css", include_str!("style.css")),
    ("charts.js", include_str!("charts.js")),
    ("parts.html", include_str!("parts.html.j2")),
    ("load.html", include_str!("load.html.j2")),
    ("drill.html", include_str!("drill.html.j2")),
];

/// The page of a report.
pub fn page(report: &Report) -> Result<String, StoreError> {
    let render = || {
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        engine.set_syntax(syntax());
        engine.set_auto_escape_callback(|name| match name {
            "style.css" | "charts.js" => AutoEscape::None,
            _ => AutoEscape::Html,
        });
        for (name, text) in TEMPLATES {
            engine.add_template(name, text)?;
        }
        match report {
            Report::Load(report) => engine
                .get_template("load.html")?
                .render(Serde(load::view(report))),
            Report::Drill(report) => engine
                .get_template("drill.html")?
                .render(Serde(drill::view(report))),
        }
    };
    render().map_err(|error| StoreError::Render(format!("{error:#}")))
}

/// The syntax of templates: a line that only steers leaves no empty line behind.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .unwrap_or_default()
}
