//! The smoke test: every route, real logins, and a flash sale that must sell exactly what there is.
