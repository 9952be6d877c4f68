//! What can be wrong with a template.

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A component names a template that is not there.
    #[error(
        "failed to find templates/{template}, which templates/{component}/component.yaml names"
    )]
    Missing {
        /// The component.
        component: String,
        /// The template, relative to `templates/`.
        template: String,
    },
    /// The template itself is wrong, or asks for something that is not there.
    #[error("failed to render templates/{template}{}: {reason}", line.map_or_else(String::new, |line| format!(":{line}")))]
    Template {
        /// The template, relative to `templates/`.
        template: String,
        /// The line, if it is known.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// What came out is not an object that a cluster takes.
    #[error("failed to read {object}, rendered from templates/{template}: {reason}")]
    Object {
        /// The template, relative to `templates/`.
        template: String,
        /// The object, as in `deployment/order`.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What came out is not a document of its kind.
    #[error(
        "failed to read {document} of {instance}, rendered from templates/{template}, as {syntax}: {reason}"
    )]
    Document {
        /// The instance.
        instance: String,
        /// The rendered file.
        document: String,
        /// The template, relative to `templates/`.
        template: String,
        /// What the file's name says that it is.
        syntax: &'static str,
        /// What is wrong, with the line in the rendered document.
        reason: String,
    },
}

impl RenderError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Template { reason, .. } if reason.contains("undefined") => Some(
                "a template sees `environment`, `component`, `instance`, `components`, `programs`, `shop`, and the \
                 `secrets` that its component.yaml names (their values only in files of mode 0600)"
                    .to_owned(),
            ),
            Self::Object { reason, .. } if reason.contains("unknown field") => Some(
                "correct the field's name or its place; `kubectl explain` of the kind lists what there is".to_owned(),
            ),
            Self::Document { .. } => {
                Some("`shopctl render --out-dir DIR` of the last good templates shows what it should look like".to_owned())
            }
            _ => None,
        }
    }
}
