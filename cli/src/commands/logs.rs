//! Shows what processes write.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::target::{local_failure, local_folder};
use super::{Context, k3s};
use crate::args::LogsArgs;
use crate::document::nearest;
use crate::environment::Target;
use crate::supervisor::{LogReader, LogSource, StateFolder, SupervisorError, log_sources};
use crate::ui::{ExitCode, Failure, OutputFormat, SourcedLines};

/// How often the logs are looked at while they are followed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A line, as programs get it: one JSON document a line.
#[derive(Serialize)]
struct LogLine<'a> {
    component: &'a str,
    instance: &'a str,
    line: &'a str,
}

/// The logs that are being read, and how they are shown.
struct Reading<'a> {
    context: &'a Context,
    names: SourcedLines,
    readers: BTreeMap<String, LogReader>,
}

/// Shows what processes write.
pub(super) fn run(args: &LogsArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    if environment.target == Target::K3s {
        return k3s::logs(args, context, &loaded);
    }
    let folder = local_folder(context, environment)?;
    let folder = folder.names();
    let mut sources = chosen(folder, &args.components)?;
    let mut reading = Reading {
        context,
        names: SourcedLines::new(context.ui.answers_to_people()),
        readers: BTreeMap::new(),
    };
    for source in &sources {
        reading.names.announce(&source.instance);
    }
    for source in &sources {
        reading.begin(source, args.lines, args.follow)?;
    }
    if !args.follow {
        return Ok(());
    }
    super::block_on(async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for source in &sources {
                reading.go_on(source)?;
            }
            // An instance may have come since, which only then has something to read.
            sources = chosen(folder, &args.components).unwrap_or(sources);
        }
    })
}

impl Reading<'_> {
    /// Shows the last lines of a log.
    fn begin(&mut self, source: &LogSource, lines: usize, follow: bool) -> Result<(), Failure> {
        let (reader, last) = LogReader::open(&source.path, lines).map_err(failure)?;
        // What is followed is shown once it is whole.
        let unfinished = reader.unfinished().filter(|_| !follow && lines > 0);
        for line in last.iter().chain(&unfinished) {
            self.show(source, line)?;
        }
        self.readers.insert(source.instance.clone(), reader);
        Ok(())
    }

    /// Shows what was added to a log; all of it if it was not known before.
    fn go_on(&mut self, source: &LogSource) -> Result<(), Failure> {
        let Some(reader) = self.readers.get_mut(&source.instance) else {
            self.names.announce(&source.instance);
            return self.begin(source, usize::MAX, true);
        };
        for line in reader.added().map_err(failure)? {
            self.show(source, &line)?;
        }
        Ok(())
    }

    fn show(&self, source: &LogSource, line: &str) -> Result<(), Failure> {
        let ui = &self.context.ui;
        if ui.output() == OutputFormat::Text {
            return ui.data(&format!("{}\n", self.names.line(&source.instance, line)));
        }
        let line = LogLine {
            component: &source.component,
            instance: &source.instance,
            line,
        };
        ui.data(&serde_json::to_string(&line)?)
    }
}

/// The logs of what was named: components, instances, or `supervisor` for the supervisor's own; all instances if
/// nothing was.
fn chosen(folder: &StateFolder, names: &[String]) -> Result<Vec<LogSource>, Failure> {
    const SUPERVISOR: &str = "supervisor";
    let mut sources = log_sources(folder).map_err(failure)?;
    if sources.is_empty() {
        return Err(Failure::new(format!(
            "failed to find logs: nothing has been started in {}",
            folder.state_dir().display()
        ))
        .hint("`shopctl up` starts the shop"));
    }
    if names.is_empty() {
        return Ok(sources);
    }
    sources.push(LogSource {
        component: SUPERVISOR.to_owned(),
        instance: SUPERVISOR.to_owned(),
        path: folder.supervisor_log(),
    });
    let is =
        |source: &LogSource, name: &String| source.component == *name || source.instance == *name;
    if let Some(name) = names
        .iter()
        .find(|name| !sources.iter().any(|source| is(source, name)))
    {
        return Err(unknown(name, &sources));
    }
    sources.retain(|source| names.iter().any(|name| is(source, name)));
    Ok(sources)
}

fn unknown(name: &str, sources: &[LogSource]) -> Failure {
    let failure = Failure::new(format!(
        "failed to find logs of `{name}`: there is no such component or instance"
    ))
    .exit(ExitCode::Usage);
    let mut components: Vec<&str> = sources
        .iter()
        .map(|source| source.component.as_str())
        .collect();
    components.dedup();
    let instances = sources.iter().map(|source| source.instance.as_str());
    match nearest(name, components.iter().copied().chain(instances)) {
        Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
        None => failure.hint(format!("there are: {}", components.join(", "))),
    }
}

fn failure(error: SupervisorError) -> Failure {
    local_failure(error.into())
}
