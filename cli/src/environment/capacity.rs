//! Settings that all instances draw on together: whether there is enough for them.

use serde_json::Value as Json;

use super::file::Complete;
use super::model::ComponentSettings;
use crate::catalogue::{Catalogue, Component, ComponentKind, SettingSpec};
use crate::document::{Document, Problem, Span, Step};

/// What a component draws in all, and where the file says so.
struct Draw<'a> {
    component: &'a Component,
    setting: &'a str,
    amount: f64,
}

/// Every setting that is drawn on more than it allows.
pub(super) fn overdrawn(
    document: &Document,
    complete: &Complete,
    catalogue: &Catalogue,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for component in catalogue.runnable() {
        let Some(settings) = settings_of(complete, component) else {
            continue;
        };
        for (name, spec) in &component.settings {
            let draws = draws(complete, catalogue, component, name);
            let allowed = settings.settings.get(name).and_then(Json::as_f64);
            let (Some(allowed), false) = (allowed, draws.is_empty()) else {
                continue;
            };
            let needed =
                draws.iter().map(|draw| draw.amount).sum::<f64>() + spec.reserve.unwrap_or(0.0);
            if needed > allowed {
                let place = place(document, component, name, &draws);
                let problem = problem(component, name, spec, allowed, needed, &draws);
                problems.push(Problem {
                    span: place,
                    ..problem
                });
            }
        }
    }
    problems
}

/// The settings of a component that runs.
fn settings_of<'a>(complete: &'a Complete, component: &Component) -> Option<&'a ComponentSettings> {
    let section = match component.kind {
        ComponentKind::Service => &complete.services,
        ComponentKind::Server | ComponentKind::Tool => &complete.components,
    };
    section
        .get(&component.name)
        .filter(|settings| settings.enabled)
}

fn draws<'a>(
    complete: &Complete,
    catalogue: &'a Catalogue,
    from: &Component,
    name: &str,
) -> Vec<Draw<'a>> {
    let mut found = Vec::new();
    for component in catalogue.runnable() {
        let Some(settings) = settings_of(complete, component) else {
            continue;
        };
        for (setting, spec) in &component.settings {
            let drawn = spec.draws_on.as_ref();
            if drawn.is_some_and(|drawn| drawn.component == from.name && drawn.setting == name)
                && let Some(each) = settings.settings.get(setting).and_then(Json::as_f64)
            {
                found.push(Draw {
                    component,
                    setting,
                    amount: each * f64::from(settings.most_replicas()),
                });
            }
        }
    }
    found
}

fn problem(
    component: &Component,
    name: &str,
    spec: &SettingSpec,
    allowed: f64,
    needed: f64,
    draws: &[Draw<'_>],
) -> Problem {
    let mut parts: Vec<String> = draws
        .iter()
        .map(|draw| format!("{} of `{}`", draw.amount, draw.component.name))
        .collect();
    parts.extend(
        spec.reserve
            .map(|reserve| format!("{reserve} for `{}` itself", component.name)),
    );
    let message = format!(
        "`{}` has a `{name}` of {allowed}, but {needed} may be needed: {}",
        component.name,
        parts.join(", ")
    );
    let section = section(component);
    let fix = format!(
        "raise `{section}.{}.settings.{name}` to {needed}, or lower the others' settings or replicas",
        component.name
    );
    Problem::whole(message).fix(fix)
}

/// The setting itself, or else what makes the largest of those that draw on it so large.
fn place(
    document: &Document,
    component: &Component,
    name: &str,
    draws: &[Draw<'_>],
) -> Option<Span> {
    let find = |component: &Component, way: &[&str]| {
        let component = [section(component), component.name.as_str()];
        let way: Vec<Step<'_>> = component
            .into_iter()
            .chain(way.iter().copied())
            .map(Step::from)
            .collect();
        document.root.find(&way).map(|node| node.span)
    };
    let mut largest: Vec<&Draw<'_>> = draws.iter().collect();
    largest.sort_by(|one, other| other.amount.total_cmp(&one.amount));
    find(component, &["settings", name]).or_else(|| {
        largest.into_iter().find_map(|draw| {
            find(draw.component, &["settings", draw.setting])
                .or_else(|| find(draw.component, &["autoscaling", "maximumReplicas"]))
                .or_else(|| find(draw.component, &["replicas"]))
        })
    })
}

fn section(component: &Component) -> &'static str {
    match component.kind {
        ComponentKind::Service => "services",
        ComponentKind::Server | ComponentKind::Tool => "components",
    }
}
