//! The kinds of problems the shop knows: slug, status and title of each.

use axum::http::StatusCode;

/// Where the types of problems live.
pub(super) const TYPE_BASE: &str = "https://shopctl.dev/problems/";

/// What kind of problem it is. The slug is the stable name that clients match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The request does not say what it must, or says what it must not.
    Validation,
    /// Nobody has proved who asks: no access token or one that cannot be accepted, a wrong password, a used refresh token.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or none that the caller may see.
    NotFound,
    /// The path is known, the method is not.
    MethodNotAllowed,
    /// The body is not of a type that is understood.
    UnsupportedMediaType,
    /// Less is free than was asked for.
    SoldOut,
    /// The customer has bought as much as the sale allows.
    LimitReached,
    /// The request needs an `Idempotency-Key`.
    IdempotencyKeyMissing,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused,
    /// The caller asks too often.
    RateLimited,
    /// The service has more to do than it can.
    Busy,
    /// Something that the service needs is not there at the moment.
    Unavailable,
    /// It took longer than it may.
    Timeout,
    /// The body is larger than it may be.
    TooLarge,
    /// It contradicts what is there.
    Conflict,
    /// A fault of ours.
    Internal,
}

impl ProblemKind {
    /// The last part of the problem's `type`.
    pub fn slug(self) -> &'static str {
        self.describe().0
    }

    /// The status that goes with the kind.
    pub fn status(self) -> StatusCode {
        self.describe().1
    }

    /// A short text, the same for every problem of the kind.
    pub fn title(self) -> &'static str {
        self.describe().2
    }

    fn describe(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as Is;
        match self {
            Self::Validation => ("validation", Is::BAD_REQUEST, "The request is not valid"),
            Self::Unauthorized => ("unauthorized", Is::UNAUTHORIZED, "Not authenticated"),
            Self::Forbidden => ("forbidden", Is::FORBIDDEN, "This is not allowed for you"),
            Self::NotFound => ("not-found", Is::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                Is::METHOD_NOT_ALLOWED,
                "The method is not known here",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                Is::UNSUPPORTED_MEDIA_TYPE,
                "The body must be JSON",
            ),
            Self::SoldOut => ("sold-out", Is::CONFLICT, "Sold out"),
            Self::LimitReached => (
                "limit-reached",
                Is::CONFLICT,
                "The limit per customer is reached",
            ),
            Self::IdempotencyKeyMissing => (
                "idempotency-key-missing",
                Is::BAD_REQUEST,
                "An Idempotency-Key is needed",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                Is::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key was used for another request",
            ),
            Self::RateLimited => ("rate-limited", Is::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Busy => (
                "busy",
                Is::SERVICE_UNAVAILABLE,
                "Too much to do at the moment",
            ),
            Self::Unavailable => (
                "unavailable",
                Is::SERVICE_UNAVAILABLE,
                "Not available at the moment",
            ),
            Self::Timeout => ("timeout", Is::GATEWAY_TIMEOUT, "It took too long"),
            Self::TooLarge => ("too-large", Is::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::Conflict => ("conflict", Is::CONFLICT, "It contradicts what is there"),
            Self::Internal => (
                "internal",
                Is::INTERNAL_SERVER_ERROR,
                "Something went wrong on our side",
            ),
        }
    }

    /// The kind that fits a status which something else than this crate has answered.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            409 => Self::Conflict,
            413 => Self::TooLarge,
            415 => Self::UnsupportedMediaType,
            429 => Self::RateLimited,
            503 => Self::Unavailable,
            408 | 504 => Self::Timeout,
            400..=499 => Self::Validation,
            _ => Self::Internal,
        }
    }
}
