//! Shows what the pods of a shop write.

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::Value;

use super::{Session, failure};
use crate::args::LogsArgs;
use crate::cluster::{
    Cluster, ClusterError, LogReading, follow_log, label, list, pods, read_log, text,
};
use crate::commands::{Context, block_on};
use crate::document::nearest;
use crate::project::Loaded;
use crate::target::k3s::NAMESPACE;
use crate::ui::{ExitCode, Failure, OutputFormat, SourcedLines};

/// A line, as programs get it: one JSON document a line.
#[derive(Serialize)]
struct LogLine<'a> {
    component: &'a str,
    instance: &'a str,
    line: &'a str,
}

/// Somebody who writes: a container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    component: String,
    pod: String,
    container: Option<String>,
}

/// Shows what pods write.
pub(in crate::commands) fn logs(
    args: &LogsArgs,
    context: &Context,
    loaded: &Loaded,
) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    block_on(async {
        let cluster = session.cluster().await?;
        let told = |error: ClusterError| failure(error.into());
        let pods = pods(&cluster, NAMESPACE).await.map_err(told)?;
        let sources = chosen(&pods, &args.components)?;
        let mut names = SourcedLines::new(context.ui.answers_to_people());
        for source in &sources {
            names.announce(&source.pod);
        }
        if args.follow {
            follow(context, &cluster, &names, sources, args.lines).await
        } else {
            show(context, &cluster, &names, &sources, args.lines).await
        }
    })
}

fn reading(lines: usize) -> LogReading {
    LogReading {
        tail: Some(u32::try_from(lines).unwrap_or(u32::MAX)),
        ..LogReading::default()
    }
}

async fn show(
    context: &Context,
    cluster: &Cluster,
    names: &SourcedLines,
    sources: &[Source],
    lines: usize,
) -> Result<(), Failure> {
    for source in sources {
        let container = source.container.as_deref();
        match read_log(cluster, NAMESPACE, &source.pod, container, reading(lines)).await {
            Ok(log) => {
                for line in log.lines() {
                    tell(context, names, source, line)?;
                }
            }
            // A pod that did not start yet has written nothing.
            Err(ClusterError::Refused {
                code: 400 | 404, ..
            }) => {}
            Err(error) => return Err(failure(error.into())),
        }
    }
    Ok(())
}

async fn follow(
    context: &Context,
    cluster: &Cluster,
    names: &SourcedLines,
    sources: Vec<Source>,
    lines: usize,
) -> Result<(), Failure> {
    let mut streams = Vec::new();
    for source in sources {
        let container = source.container.clone();
        match follow_log(
            cluster,
            NAMESPACE,
            &source.pod,
            container.as_deref(),
            reading(lines),
        )
        .await
        {
            Ok(stream) => streams.push(stream.map(move |line| (source.clone(), line)).boxed()),
            Err(ClusterError::Refused {
                code: 400 | 404, ..
            }) => {}
            Err(error) => return Err(failure(error.into())),
        }
    }
    let mut all = futures_util::stream::select_all(streams);
    while let Some((source, line)) = all.next().await {
        // A stream that broke is one whose pod is gone.
        if let Ok(line) = line {
            tell(context, names, &source, &line)?;
        }
    }
    Ok(())
}

fn tell(
    context: &Context,
    names: &SourcedLines,
    source: &Source,
    line: &str,
) -> Result<(), Failure> {
    if context.ui.output() == OutputFormat::Text {
        return context
            .ui
            .data(&format!("{}\n", names.line(&source.pod, line)));
    }
    let line = LogLine {
        component: &source.component,
        instance: &source.pod,
        line,
    };
    context.ui.data(&serde_json::to_string(&line)?)
}

/// The pods of what was named, components or pods; all if nothing was.
fn chosen(pods: &[Value], names: &[String]) -> Result<Vec<Source>, Failure> {
    let mut sources: Vec<Source> = pods
        .iter()
        .filter_map(|pod| {
            Some(Source {
                component: label(pod, "app.kubernetes.io/name")
                    .unwrap_or_default()
                    .to_owned(),
                pod: text(pod, "/metadata/name")?.to_owned(),
                container: list(pod, "/spec/containers")
                    .first()
                    .and_then(|container| text(container, "/name"))
                    .map(str::to_owned),
            })
        })
        .collect();
    sources
        .sort_by(|left, right| (&left.component, &left.pod).cmp(&(&right.component, &right.pod)));
    let is = |source: &Source, name: &String| source.component == *name || source.pod == *name;
    if let Some(name) = names
        .iter()
        .find(|name| !sources.iter().any(|source| is(source, name)))
    {
        let failure = Failure::new(format!(
            "failed to find logs of `{name}`: there is no such component or pod"
        ))
        .exit(ExitCode::Usage);
        let known = sources
            .iter()
            .flat_map(|source| [source.component.as_str(), source.pod.as_str()]);
        return Err(match nearest(name, known) {
            Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
            None => failure.hint("`shopctl status` shows all pods"),
        });
    }
    if !names.is_empty() {
        sources.retain(|source| names.iter().any(|name| is(source, name)));
    }
    Ok(sources)
}
