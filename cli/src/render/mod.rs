//! Rendering: a typed context through minijinja to configuration files, parsed at once.
