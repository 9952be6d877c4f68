//! What there is to work with: shipped environments and templates, and the files on disk that override them.
