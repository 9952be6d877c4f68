//! The catalogue: what each folder under `templates/` declares in its `component.yaml`.
//!
//! A component is data. The core knows none of them by name; adding one is adding a folder. Not here: what an
//! environment asks of a component (`environment`), and how its files are filled in (`render`).

mod model;

pub use model::*;
