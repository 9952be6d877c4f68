//! Documents that people write: YAML with the place of every value, and what is wrong with it.
