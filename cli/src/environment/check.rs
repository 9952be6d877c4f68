//! What a schema cannot say about an environment file: values that only make sense together.

use std::collections::BTreeMap;

use super::file::Complete;
use super::model::{ComponentSettings, LoadKind, LoadProfile, Target};
use super::{capacity, defaults};
use crate::catalogue::{Catalogue, Component, ResourceAmounts};
use serde_json::Value as Json;

use crate::document::{Document, Node, Problem, Span, Step};
use crate::value::{ComponentName, EnvironmentName, Quantity};

/// The environment's name: the file's own, or its file's name. The schema has judged the file's own already.
pub(super) fn name(document: &Document, stem: &str) -> Result<EnvironmentName, Box<Problem>> {
    let written = document.values().get("name").and_then(Json::as_str);
    written.unwrap_or(stem).parse().map_err(|error| {
        let message = format!("`{stem}` cannot be the environment's name: {error}");
        Box::new(Problem::whole(message).fix("add a field `name`, or rename the file"))
    })
}

/// Everything that is wrong with a file that has the right form.
pub(super) fn complete(
    document: &Document,
    complete: &Complete,
    catalogue: &Catalogue,
) -> Vec<Problem> {
    let mut check = Check {
        document,
        problems: Vec::new(),
    };
    if complete.target == Target::Local {
        // Pods have addresses of their own: their ports are in nobody's way.
        check.ports(complete, catalogue);
    }
    for (section, components) in sections(complete) {
        for (name, settings) in components {
            check.resources(section, name, settings);
        }
    }
    check.order(complete, catalogue);
    check.seed(complete);
    check.objectives(complete);
    check.loads(complete);
    check.kinds();
    let mut problems = check.problems;
    problems.extend(capacity::overdrawn(document, complete, catalogue));
    problems
}

fn sections(
    complete: &Complete,
) -> [(&'static str, &BTreeMap<ComponentName, ComponentSettings>); 2] {
    [
        ("components", &complete.components),
        ("services", &complete.services),
    ]
}

struct Check<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
}

/// A range of ports that the instances of a component listen on.
struct Taken<'a> {
    section: &'static str,
    component: &'a ComponentName,
    port: &'a str,
    first: u32,
    last: u32,
}

impl Taken<'_> {
    fn describe(&self) -> String {
        let ports = if self.first == self.last {
            format!("port {}", self.first)
        } else {
            format!("ports {}-{}", self.first, self.last)
        };
        format!("{ports} of `{}` (`{}`)", self.component, self.port)
    }
}

impl Check<'_> {
    fn place(&self, way: &[Step<'_>]) -> Option<Span> {
        self.document.root.find(way).map(|node| node.span)
    }

    /// The place of the first of several ways that the file speaks of.
    fn first_place(&self, ways: &[&[Step<'_>]]) -> Option<Span> {
        ways.iter().find_map(|way| self.document.root.place(way))
    }

    fn report(&mut self, span: Option<Span>, message: String, fix: impl Into<String>) {
        self.problems.push(
            Problem {
                span,
                ..Problem::whole(message)
            }
            .fix(fix),
        );
    }

    fn ports(&mut self, complete: &Complete, catalogue: &Catalogue) {
        let mut taken: Vec<Taken<'_>> = Vec::new();
        for (section, components) in sections(complete) {
            for (name, settings) in components.iter().filter(|(_, settings)| settings.enabled) {
                let Some(component) = catalogue.get(name.as_str()) else {
                    continue;
                };
                for (port, first) in &settings.ports {
                    let shared = component.ports.get(port).is_some_and(|spec| spec.shared);
                    let more = if shared {
                        0
                    } else {
                        settings.replicas.saturating_sub(1)
                    };
                    let next = Taken {
                        section,
                        component: name,
                        port,
                        first: u32::from(*first),
                        last: u32::from(*first) + more,
                    };
                    self.port(&next, &taken);
                    taken.push(next);
                }
            }
        }
    }

    fn port(&mut self, next: &Taken<'_>, taken: &[Taken<'_>]) {
        if next.last > u32::from(u16::MAX) {
            let span = self.port_place(next);
            self.report(
                span,
                format!("{} go beyond 65535", next.describe()),
                "choose a lower port",
            );
        }
        for other in taken {
            if other.first > next.last || next.first > other.last {
                continue;
            }
            let (here, there) = (self.port_place(next), self.port_place(other));
            let message = format!("{} and {} overlap", next.describe(), other.describe());
            let fix = format!(
                "choose a port from {} on for one of them",
                next.last.max(other.last) + 1
            );
            let (span, related) = if here.is_some() {
                (here, there)
            } else {
                (there, None)
            };
            let mut problem = Problem {
                span,
                ..Problem::whole(message)
            }
            .fix(fix);
            if let Some(related) = related.filter(|related| Some(*related) != span) {
                problem = problem.related(related, format!("`{}` is here", other.component));
            }
            self.problems.push(problem);
        }
    }

    /// Where a port comes from: the port itself, or the number of replicas that makes it a range.
    fn port_place(&self, taken: &Taken<'_>) -> Option<Span> {
        let component = taken.component.as_str();
        self.place(&[
            taken.section.into(),
            component.into(),
            "ports".into(),
            taken.port.into(),
        ])
        .or_else(|| self.place(&[taken.section.into(), component.into(), "replicas".into()]))
    }

    fn resources(
        &mut self,
        section: &'static str,
        name: &ComponentName,
        settings: &ComponentSettings,
    ) {
        type Amount = fn(&ResourceAmounts) -> Option<&Quantity>;
        let amounts: [(&str, Amount); 2] = [
            ("cpu", |amounts| amounts.cpu.as_ref()),
            ("memory", |amounts| amounts.memory.as_ref()),
        ];
        for (resource, amount) in amounts {
            let (Some(request), Some(limit)) = (
                amount(&settings.resources.requests),
                amount(&settings.resources.limits),
            ) else {
                continue;
            };
            if request > limit {
                let at = |which: &'static str| -> [Step<'_>; 5] {
                    [
                        section.into(),
                        name.as_str().into(),
                        "resources".into(),
                        which.into(),
                        resource.into(),
                    ]
                };
                let span = self
                    .place(&at("requests"))
                    .or_else(|| self.place(&at("limits")));
                let message =
                    format!("`{name}` requests {request} of {resource}, but its limit is {limit}");
                self.report(span, message, "request less, or raise `limits`");
            }
        }
    }

    /// What is enabled needs what it starts after.
    fn order(&mut self, complete: &Complete, catalogue: &Catalogue) {
        let enabled = |name: &str| {
            sections(complete)
                .into_iter()
                .find_map(|(section, components)| {
                    components
                        .get(name)
                        .map(|settings| (section, settings.enabled))
                })
        };
        let running = |component: &&Component| {
            enabled(component.name.as_str()).is_some_and(|(_, enabled)| enabled)
        };
        for component in catalogue.runnable().filter(running) {
            for before in &component.after {
                if let Some((section, false)) = enabled(before.as_str()) {
                    let span =
                        self.place(&[section.into(), before.as_str().into(), "enabled".into()]);
                    let message = format!(
                        "`{}` needs `{before}`, which is not enabled",
                        component.name
                    );
                    self.report(
                        span,
                        message,
                        format!("enable `{before}`, or disable `{}` too", component.name),
                    );
                }
            }
        }
    }

    fn seed(&mut self, complete: &Complete) {
        let mut seen = BTreeMap::new();
        for (index, product) in complete.seed.products.iter().enumerate() {
            let way = ["seed".into(), "products".into(), index.into(), "sku".into()];
            let span = self.place(&way);
            if let Some(first) = seen.insert(product.sku.as_str(), span) {
                let mut problem = Problem {
                    span,
                    ..Problem::whole(format!("two products have the sku `{}`", product.sku))
                }
                .fix("give each product a sku of its own");
                if let Some(first) = first {
                    problem = problem.related(first, "the first one");
                }
                self.problems.push(problem);
            }
        }
    }

    fn objectives(&mut self, complete: &Complete) {
        let load = &complete.objectives.load;
        let limits = [("p50", load.p50), ("p95", load.p95), ("p99", load.p99)];
        for pair in limits.windows(2) {
            let [(low, lower), (high, higher)] = pair else {
                continue;
            };
            if lower > higher {
                let at = |name: &'static str| -> [Step<'_>; 3] {
                    ["objectives".into(), "load".into(), name.into()]
                };
                let span = self.place(&at(low)).or_else(|| self.place(&at(high)));
                let message = format!("`{low}` may be {lower}, but `{high}` only {higher}");
                self.report(
                    span,
                    message,
                    format!("a percentile is never above a higher one: raise `{high}`"),
                );
            }
        }
    }

    fn loads(&mut self, complete: &Complete) {
        for (name, profile) in &complete.load_profiles {
            self.load(name, profile);
        }
    }

    fn load(&mut self, name: &str, profile: &LoadProfile) {
        let at = |field: &'static str| -> [Step<'_>; 3] {
            ["loadProfiles".into(), name.into(), field.into()]
        };
        let open = profile.kind == LoadKind::Open;
        if profile.rate.is_some() && !open {
            let span = self.first_place(&[&at("rate")]);
            let message =
                format!("the load profile `{name}` has a `rate`, but is not of kind `open`");
            self.report(span, message, "remove `rate`, or write `kind: open`");
        }
        if profile.duration.milliseconds() < 1_000 {
            let span = self.place(&at("duration"));
            let message = format!(
                "the load profile `{name}` lasts {}, which measures nothing",
                profile.duration
            );
            self.report(span, message, "let it last at least 1s");
        }
    }

    /// A profile that is not one of ours must say what kind it is.
    fn kinds(&mut self) {
        let profiles = self.document.root.find(&["loadProfiles".into()]);
        let new = profiles
            .into_iter()
            .flat_map(Node::entries)
            .filter(|entry| entry.value.entry("kind").is_none())
            .filter(|entry| !defaults::load_names().any(|name| name == entry.key));
        for entry in new {
            let message = format!(
                "the new load profile `{}` does not say its `kind`",
                entry.key
            );
            self.problems.push(
                Problem::at(entry.key_span, message)
                    .fix("add `kind:` with one of: browse, flashSale, soak, open, null"),
            );
        }
    }
}
