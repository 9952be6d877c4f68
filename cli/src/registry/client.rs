//! Requests to a registry, and who they are from.
//!
//! A client on hyper and not one more crate: the protocol is five requests, and TLS with ring is there already through
//! the cluster's client.

use std::error::Error as _;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value as Json;

use super::{Access, RegistryError, trust};

/// How long it may take to be connected, and to answer a request that sends little.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(15);
/// How much of an answer is read.
const LONGEST_ANSWER: usize = 256 << 10;

/// What is sent.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A connection to a registry, logged in.
pub struct Client {
    /// Where it is and who we are.
    pub access: Access,
    http: legacy::Client<HttpsConnector<HttpConnector>, Body>,
    login: Login,
    authorization: Mutex<Option<HeaderValue>>,
}

/// How a registry wants to know who asks.
enum Login {
    /// Not at all.
    Nobody,
    /// By the password, with every request.
    Password,
    /// By a token, which is had elsewhere for a while.
    Token {
        /// Where.
        realm: String,
    },
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Client {
    /// Connects to a registry and finds out how to log in. `image` is the name below its address that it is for.
    pub async fn open(access: Access, image: &str) -> Result<Self, RegistryError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust::config(&access)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let mut client = Self {
            http: legacy::Client::builder(TokioExecutor::new()).build(connector),
            login: Login::Nobody,
            authorization: Mutex::new(None),
            access,
        };
        let greeting = client.send(client.request(Method::GET, "/v2/")?).await?;
        let speaks_tls = client.access.plain_http && greeting.text.contains("HTTPS");
        match greeting.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                client.login = client.challenge(&greeting.headers, image)?;
                client.log_in().await?;
            }
            StatusCode::BAD_REQUEST if speaks_tls => {
                return Err(RegistryError::WithTls {
                    registry: client.access.host().to_owned(),
                });
            }
            other => {
                return Err(RegistryError::NotARegistry {
                    registry: client.access.host().to_owned(),
                    status: other.as_u16(),
                });
            }
        }
        Ok(client)
    }

    /// Gets a token that is new, where tokens are what counts: an upload may take longer than one lasts.
    pub(super) async fn renew(&self) -> Result<(), RegistryError> {
        match self.login {
            Login::Token { .. } => self.log_in().await,
            Login::Nobody | Login::Password => Ok(()),
        }
    }

    /// A request to a path of the registry, or to where it sent us. Who we are is told to the registry alone.
    pub(super) fn request(
        &self,
        method: Method,
        place: &str,
    ) -> Result<Request<Body>, RegistryError> {
        let base = self.access.base();
        let place = if place.starts_with('/') {
            format!("{base}{place}")
        } else {
            place.to_owned()
        };
        let uri: Uri = place
            .parse()
            .map_err(|error| RegistryError::unreachable(&self.access, &error))?;
        let home: Uri = base
            .parse()
            .map_err(|error| RegistryError::unreachable(&self.access, &error))?;
        let at_home = uri.authority() == home.authority() && uri.scheme() == home.scheme();
        let mut request = Request::new(nothing());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        if let Some(value) = self.authorization().filter(|_| at_home) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Sends a request that says little and is answered soon.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Answer, RegistryError> {
        tokio::time::timeout(ANSWER, self.send_slowly(request))
            .await
            .unwrap_or_else(|_| {
                let reason = format!("no answer within {} s", ANSWER.as_secs());
                Err(RegistryError::unreachable(&self.access, &reason))
            })
    }

    /// Sends a request that may take any time; whoever does it watches how far it is.
    pub(super) async fn send_slowly(
        &self,
        request: Request<Body>,
    ) -> Result<Answer, RegistryError> {
        let answer = self.http.request(request).await;
        let (head, body) = answer.map_err(|error| self.explain(&error))?.into_parts();
        let read = Limited::new(body, LONGEST_ANSWER).collect().await;
        let text = read.map(Collected::to_bytes).unwrap_or_default();
        if head.status == StatusCode::UNAUTHORIZED && self.authorization().is_some() {
            return Err(RegistryError::login(&self.access));
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }

    fn authorization(&self) -> Option<HeaderValue> {
        self.authorization.lock().ok()?.clone()
    }

    /// How the registry wants to know who asks.
    fn challenge(&self, headers: &HeaderMap, image: &str) -> Result<Login, RegistryError> {
        let offers = headers.get_all(WWW_AUTHENTICATE);
        let offers: Vec<&str> = offers
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let offer = |scheme: &str| {
            offers.iter().find_map(|offer| {
                let (name, rest) = offer.split_once(' ')?;
                name.eq_ignore_ascii_case(scheme).then_some(rest)
            })
        };
        if let Some(parameters) = offer("bearer") {
            let realm = parameter(parameters, "realm").unwrap_or_default();
            let service = parameter(parameters, "service").unwrap_or_default();
            let scope = format!("repository:{}:pull,push", self.access.repository(image));
            let separator = if realm.contains('?') { '&' } else { '?' };
            // A password goes the same way as to the registry, or a safer one.
            if realm.starts_with("https://") || self.access.plain_http {
                return Ok(Login::Token {
                    realm: format!(
                        "{realm}{separator}service={}&scope={}",
                        escaped(service),
                        escaped(&scope)
                    ),
                });
            }
        } else if offer("basic").is_some() && self.access.user.is_some() {
            return Ok(Login::Password);
        }
        Err(RegistryError::login(&self.access))
    }

    async fn log_in(&self) -> Result<(), RegistryError> {
        let password = self.access.user.as_ref().zip(self.access.password());
        let basic = password.map(|(user, password)| {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            format!("Basic {pair}")
        });
        let value = match &self.login {
            Login::Nobody => return Ok(()),
            Login::Password => basic,
            Login::Token { realm } => Some(format!("Bearer {}", self.token(realm, basic).await?)),
        };
        let mut value = value
            .and_then(|value| HeaderValue::try_from(value).ok())
            .ok_or_else(|| RegistryError::login(&self.access))?;
        value.set_sensitive(true);
        if let Ok(mut kept) = self.authorization.lock() {
            *kept = Some(value);
        }
        Ok(())
    }

    async fn token(&self, realm: &str, basic: Option<String>) -> Result<String, RegistryError> {
        let mut request = self.request(Method::GET, realm)?;
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(Ok(value)) = basic.map(HeaderValue::try_from) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.send(request).await?;
        if matches!(
            answer.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            return Err(RegistryError::login(&self.access));
        }
        let document: Json = serde_json::from_str(&answer.text).unwrap_or_default();
        let token = document["token"]
            .as_str()
            .or(document["access_token"].as_str());
        token
            .map(str::to_owned)
            .ok_or_else(|| answer.refused(&self.access, "get a token"))
    }

    /// What a connection that failed means.
    fn explain(&self, error: &legacy::Error) -> RegistryError {
        let registry = self.access.host().to_owned();
        let mut cause = error.source();
        let mut last = error.to_string();
        while let Some(found) = cause {
            if let Some(tls) = tls_error(found) {
                return match tls {
                    rustls::Error::InvalidMessage(_) => RegistryError::WithoutTls { registry },
                    other => RegistryError::Untrusted {
                        registry,
                        reason: self.certificate_trouble(other),
                        authority: self.access.authority_file.clone(),
                    },
                };
            }
            last = found.to_string();
            cause = found.source();
        }
        RegistryError::Unreachable {
            registry,
            reason: last,
        }
    }

    fn certificate_trouble(&self, error: &rustls::Error) -> String {
        use rustls::CertificateError as Certificate;
        match error {
            rustls::Error::InvalidCertificate(Certificate::UnknownIssuer) => {
                match &self.access.authority_file {
                    Some(path) => format!("its certificate is not signed by {}", path.display()),
                    None => {
                        "its certificate is signed by nobody whom this machine knows".to_owned()
                    }
                }
            }
            rustls::Error::InvalidCertificate(
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
            ) => "its certificate is for other names".to_owned(),
            rustls::Error::InvalidCertificate(
                Certificate::Expired | Certificate::ExpiredContext { .. },
            ) => "its certificate has expired".to_owned(),
            other => other.to_string(),
        }
    }
}

impl Answer {
    /// A header as text.
    pub(super) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into())?.to_str().ok()
    }

    /// Where it sends us.
    pub(super) fn location(&self) -> Option<&str> {
        self.header(LOCATION)
    }

    /// The error that it is.
    pub(super) fn refused(&self, access: &Access, what: &str) -> RegistryError {
        let said = said(&self.text);
        RegistryError::Answer {
            registry: access.host().to_owned(),
            what: what.to_owned(),
            status: self.status.as_u16(),
            reason: if said.is_empty() {
                said
            } else {
                format!(": {said}")
            },
        }
    }
}

/// The error of TLS in an error of input and output, however often it is wrapped.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    tls_error(error.downcast_ref::<io::Error>()?.get_ref()?)
}

pub(super) fn nothing() -> Body {
    bytes(Vec::new())
}

pub(super) fn bytes(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes))
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What a registry said about an error, in a line.
pub(super) fn said(text: &str) -> String {
    let document: Json = serde_json::from_str(text).unwrap_or_default();
    let error = &document["errors"][0];
    let parts = [&error["code"], &error["message"]].map(|part| part.as_str().unwrap_or_default());
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        let line = text.lines().next().unwrap_or_default();
        return line.chars().take(200).collect();
    }
    parts.join(", ")
}

/// A parameter of a challenge: `realm="…",service="…"`.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let begin = parameters.find(&format!("{name}=\""))? + name.len() + 2;
    parameters[begin..].split('"').next()
}

/// A text as it stands in a query.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_by_its_parameters() {
        let challenge = r#"realm="https://auth.example.com/token",service="reg, one",scope="x""#;
        assert_eq!(
            parameter(challenge, "realm"),
            Some("https://auth.example.com/token")
        );
        assert_eq!(parameter(challenge, "service"), Some("reg, one"));
        assert_eq!(parameter(challenge, "error"), None);
        assert_eq!(escaped("reg, one"), "reg%2C%20one");
    }

    #[test]
    fn what_a_registry_says_of_an_error_fits_a_line() {
        let text = r#"{"errors":[{"code":"DENIED","message":"requested access is denied"}]}"#;
        assert_eq!(said(text), "DENIED, requested access is denied");
        assert_eq!(said("<html>\n<p>"), "<html>");
    }
}
