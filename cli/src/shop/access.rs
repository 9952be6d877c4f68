//! Requests to the shop through its front door.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use shop_token::{Issuer, Role, SigningKey};
use uuid::Uuid;

use crate::causes::innermost;
use crate::environment::Environment;
use crate::render::SecretSet;

/// The component through which the shop is entered, and its port.
const FRONT_DOOR: (&str, &str) = ("gateway", "http");
/// The secret that holds the private key of access tokens.
const SIGNING_KEY: &str = "auth-signing-key";
/// Who issues access tokens, and for whom.
const ISSUER: &str = "shop-auth";
const AUDIENCE: &str = "shop";
/// Long enough for a proof, short enough to be worth little afterwards.
const TOKEN_LIFETIME: Duration = Duration::from_mins(10);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A running shop.
#[derive(Clone)]
pub struct Shop {
    client: Client,
    base: String,
    key: Option<String>,
}

/// An answer of the shop.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body, if it is JSON.
    pub body: Value,
}

/// Why the shop could not be asked, or did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// No answer came.
    #[error("failed to get an answer to {method} {path}: {reason}")]
    NoAnswer {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// Another answer came than was expected.
    #[error("failed to {action}: {method} {path} was answered with {answer}")]
    Unexpected {
        /// What was tried.
        action: String,
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// Status and title of what came.
        answer: String,
    },
    /// The environment has no way into the shop.
    #[error(
        "failed to find the way into the shop: the environment has no port `{}` of `{}`",
        FRONT_DOOR.1,
        FRONT_DOOR.0
    )]
    NoFrontDoor,
    /// There is no key to sign tokens with, or it is damaged.
    #[error("failed to sign an access token: {0}")]
    Key(String),
}

impl ShopError {
    /// Whether the same may be answered in a moment: somebody behind the front door is away.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Unexpected { answer, .. } => ["502", "503", "504"]
                .iter()
                .any(|status| answer.starts_with(status)),
            Self::NoFrontDoor | Self::Key(_) => false,
        }
    }
}

impl Shop {
    /// The shop of an environment that runs on this machine.
    pub fn new(environment: &Environment, secrets: &SecretSet) -> Result<Self, ShopError> {
        let port = environment
            .components
            .get(FRONT_DOOR.0)
            .and_then(|settings| settings.ports.get(FRONT_DOOR.1))
            .ok_or(ShopError::NoFrontDoor)?;
        Ok(Self {
            // A proxy of the user's environment does not lead to this machine.
            client: Client::builder().no_proxy().build().unwrap_or_default(),
            base: format!("http://127.0.0.1:{port}"),
            key: secrets.get(SIGNING_KEY).map(|key| key.expose().to_owned()),
        })
    }

    /// A shop that answers to a name at an address. One that is known by an address itself is not looked up, so nothing
    /// could lead its clients elsewhere: they are told where it is.
    pub fn behind(host: &str, address: SocketAddr, secrets: &SecretSet) -> Self {
        let base = match host.parse::<IpAddr>() {
            Ok(_) => format!("http://{address}"),
            Err(_) => format!("http://{host}:{}", address.port()),
        };
        Self {
            client: Client::builder()
                .no_proxy()
                .resolve(host, address)
                .build()
                .unwrap_or_default(),
            base,
            key: secrets.get(SIGNING_KEY).map(|key| key.expose().to_owned()),
        }
    }

    /// A shop elsewhere, without a key to sign tokens with.
    #[cfg(test)]
    pub(crate) fn at(base: String) -> Self {
        Self {
            client: Client::builder().no_proxy().build().unwrap(),
            base,
            key: None,
        }
    }

    /// Where the shop is entered.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// An access token for somebody, as the auth service would issue it; with a tag it can only touch test data.
    pub fn token(&self, subject: Uuid, role: Role, tag: Option<&str>) -> Result<String, ShopError> {
        let issuer = self.issuer()?;
        Ok(issuer.issue(subject, role, TOKEN_LIFETIME, tag))
    }

    /// What signs access tokens.
    pub fn issuer(&self) -> Result<Issuer, ShopError> {
        let pem = self
            .key
            .as_ref()
            .ok_or_else(|| ShopError::Key(format!("there is no secret {SIGNING_KEY}")))?;
        let key = SigningKey::from_pem(pem).map_err(|error| ShopError::Key(error.to_string()))?;
        Ok(Issuer::new(&key, ISSUER, AUDIENCE))
    }

    /// Asks the shop something.
    pub async fn ask(&self, request: &Request<'_>) -> Result<Answer, ShopError> {
        let no_answer = |error: reqwest::Error| ShopError::NoAnswer {
            method: request.method.clone(),
            path: request.path.to_owned(),
            reason: innermost(&error),
        };
        let mut builder = self
            .client
            .request(
                request.method.clone(),
                format!("{}{}", self.base, request.path),
            )
            .timeout(TIMEOUT);
        if let Some(token) = request.token {
            builder = builder.bearer_auth(token);
        }
        if let Some(key) = request.key {
            builder = builder.header("idempotency-key", key);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.send().await.map_err(no_answer)?;
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.map_err(no_answer)?;
        Ok(Answer {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        })
    }
}

impl fmt::Debug for Shop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shop")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// A request to the shop.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    method: Method,
    path: &'a str,
    token: Option<&'a str>,
    key: Option<&'a str>,
    body: Option<Value>,
}

impl Request<'_> {
    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its path, with the query if it has one.
    pub fn path(&self) -> &str {
        self.path
    }
}

impl<'a> Request<'a> {
    /// A request without a body.
    pub fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            token: None,
            key: None,
            body: None,
        }
    }

    /// A `GET`.
    pub fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    /// A `POST` of a document.
    pub fn post(path: &'a str, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::new(Method::POST, path)
        }
    }

    /// In somebody's name.
    #[must_use]
    pub fn token(mut self, token: &'a str) -> Self {
        self.token = Some(token);
        self
    }

    /// With a document.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With an idempotency key.
    #[must_use]
    pub fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }
}

impl Answer {
    /// Status and title of a problem document: `409 sold-out: Sold out`.
    pub fn summary(&self) -> String {
        let text = |field: &str| self.body.get(field).and_then(Value::as_str);
        let mut summary = self.status.as_u16().to_string();
        if let Some(slug) = text("type").and_then(|kind| kind.rsplit('/').next()) {
            summary.push(' ');
            summary.push_str(slug);
        }
        if let Some(detail) = text("detail").or_else(|| text("title")) {
            summary.push_str(": ");
            summary.push_str(detail);
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_is_asked_where_it_is_by_whatever_it_is_known() {
        let address = "127.0.0.1:4711".parse().unwrap();
        let url = |host| Shop::behind(host, address, &SecretSet::default()).base;
        assert_eq!(url("shop.example.com"), "http://shop.example.com:4711");
        assert_eq!(url("192.0.2.7"), "http://127.0.0.1:4711");
    }
}
