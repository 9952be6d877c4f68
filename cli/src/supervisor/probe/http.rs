//! `GET` over a connection that is kept: a handful of bytes and system calls a probe.
//!
//! Just enough HTTP for a health page; what is not understood closes the connection and counts by its status line.

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::reason;
use crate::supervisor::health::Answer;

/// A health page is short; more than this is not read.
const ANSWER_MAXIMUM: usize = 64 * 1024;
/// What a service is to its peers: they are all alike.
const ROLE: &str = "replica";
/// So much of a body goes into `status`.
const DETAIL_MAXIMUM: usize = 300;

/// The probe of an HTTP service.
pub(super) struct HttpProbe {
    address: String,
    request: String,
    connection: Option<TcpStream>,
}

/// A status code, its body, and whether another request may follow.
struct Response {
    status: u16,
    body: Vec<u8>,
    keep: bool,
}

impl HttpProbe {
    pub(super) fn new(address: &str, path: &str) -> Self {
        Self {
            address: address.to_owned(),
            request: format!(
                "GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: shopctl\r\naccept: */*\r\n\r\n"
            ),
            connection: None,
        }
    }

    pub(super) fn forget(&mut self) {
        self.connection = None;
    }

    pub(super) async fn ask(&mut self) -> Answer {
        // A kept connection may have been closed by the other side meanwhile: that alone is no failure.
        if let Some(connection) = self.connection.take()
            && let Ok(answer) = self.exchange(connection).await
        {
            return answer;
        }
        let connection = match TcpStream::connect(&self.address).await {
            Ok(connection) => connection,
            Err(error) => {
                return Answer::Silent {
                    detail: format!("no answer at {}: {}", self.address, reason(&error)),
                };
            }
        };
        match self.exchange(connection).await {
            Ok(answer) => answer,
            Err(error) => Answer::Silent {
                detail: format!("no answer at {}: {}", self.address, reason(&error)),
            },
        }
    }

    async fn exchange(&mut self, mut connection: TcpStream) -> std::io::Result<Answer> {
        connection.write_all(self.request.as_bytes()).await?;
        let response = read_response(&mut connection).await?;
        if response.keep {
            self.connection = Some(connection);
        }
        Ok(if (200..300).contains(&response.status) {
            Answer::Ready {
                role: Some(ROLE.to_owned()),
                detail: None,
            }
        } else {
            Answer::Alive {
                role: Some(ROLE.to_owned()),
                detail: refusal(response.status, &response.body),
            }
        })
    }
}

/// Why a service says that it is not ready: what it lacks, where its answer tells that, else the answer itself.
fn refusal(status: u16, body: &[u8]) -> String {
    let lacks = serde_json::from_slice::<Readiness>(body)
        .map(|readiness| readiness.lacks())
        .unwrap_or_default();
    let detail = if lacks.is_empty() {
        String::from_utf8_lossy(body).trim().to_owned()
    } else {
        format!("it lacks {lacks}")
    };
    let detail: String = detail.chars().take(DETAIL_MAXIMUM).collect();
    format!("status {status}: {detail}")
}

/// The parts of the services' `/readyz` that matter here.
#[derive(Deserialize)]
struct Readiness {
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    ready: bool,
    required: bool,
    detail: String,
}

impl Readiness {
    /// The dependencies that are missing: `postgres (connection refused), keys (…)`.
    fn lacks(&self) -> String {
        let missing: Vec<String> = self
            .dependencies
            .iter()
            .filter(|dependency| dependency.required && !dependency.ready)
            .map(|dependency| format!("{} ({})", dependency.name, dependency.detail))
            .collect();
        missing.join(", ")
    }
}

async fn read_response(connection: &mut TcpStream) -> std::io::Result<Response> {
    let malformed = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not an HTTP answer");
    let mut bytes = Vec::with_capacity(1024);
    let head_end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        if bytes.len() > ANSWER_MAXIMUM || connection.read_buf(&mut bytes).await? == 0 {
            return Err(malformed());
        }
    };
    let head =
        String::from_utf8_lossy(bytes.get(..head_end).unwrap_or_default()).to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("http/1."))
        .and_then(|line| line.split_ascii_whitespace().nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(malformed)?;
    let header = |name: &str| {
        head.split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| (key == name).then(|| value.trim()))
    };
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    let close = header("connection") == Some("close");
    let body_start = head_end + 4;
    let mut complete = false;
    if let Some(length) = length.filter(|&length| length <= ANSWER_MAXIMUM) {
        while bytes.len() < body_start + length && connection.read_buf(&mut bytes).await? > 0 {}
        complete = bytes.len() == body_start + length;
    }
    Ok(Response {
        status,
        body: bytes.split_off(body_start.min(bytes.len())),
        keep: complete && !close,
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_not_ready_is_told_by_what_it_lacks() {
        let body = br#"{"ready":false,"draining":false,"dependencies":[
            {"name":"postgres","ready":false,"required":true,"detail":"connection refused"},
            {"name":"redis","ready":false,"required":false,"detail":"no master"}]}"#;
        assert_eq!(
            refusal(503, body),
            "status 503: it lacks postgres (connection refused)"
        );
        assert_eq!(refusal(503, b" away\n"), "status 503: away");
    }
}
