//! The order in which components are started; they are stopped against it.

use std::collections::BTreeMap;

use crate::catalogue::{Catalogue, Component, ComponentKind};
use crate::render::RenderedInstance;

/// Sorts instances so that each stands after those that its component leans on: servers before services, and within
/// a component those that follow before the one that leads, so that a replacement in turn moves the lead once.
pub fn in_start_order(
    mut instances: Vec<RenderedInstance>,
    catalogue: &Catalogue,
    leads: impl Fn(&RenderedInstance) -> bool,
) -> Vec<RenderedInstance> {
    let ranks: BTreeMap<&str, usize> = catalogue
        .components()
        .map(|component| (component.name.as_str(), depth(component, catalogue, 0)))
        .collect();
    instances.sort_by_key(|instance| {
        (
            instance.kind == ComponentKind::Service,
            ranks.get(instance.component.as_str()).copied(),
            instance.component.clone(),
            leads(instance),
            instance.ordinal,
        )
    });
    instances
}

/// How many components stand below one. A circle, which the catalogue refuses, ends where it is longer than the list.
fn depth(component: &Component, catalogue: &Catalogue, above: usize) -> usize {
    if above > catalogue.components().count() {
        return 0;
    }
    component
        .after
        .iter()
        .filter_map(|name| catalogue.get(name.as_str()))
        .map(|below| 1 + depth(below, catalogue, above + 1))
        .max()
        .unwrap_or(0)
}
