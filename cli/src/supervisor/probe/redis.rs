//! `ROLE` over a connection that is kept: liveness, readiness and role of Redis and of Sentinel in one answer.
//!
//! Just enough of the protocol for that. The password is read from its file for each new connection, so that a
//! changed one needs no restart.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::reason;
use crate::supervisor::health::Answer;

/// Longer lines and lists than any answer to `ROLE` or `AUTH`.
const LINE_MAXIMUM: u64 = 4096;
const ITEMS_MAXIMUM: usize = 1024;
const DEPTH_MAXIMUM: u8 = 4;

/// The probe of a Redis or Sentinel.
pub(super) struct RedisProbe {
    address: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
    connection: Option<BufReader<TcpStream>>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reply {
    Text(String),
    Error(String),
    Number(i64),
    List(Vec<Reply>),
    Null,
}

impl RedisProbe {
    pub(super) fn new(address: &str, user: Option<&str>, password_file: Option<&Path>) -> Self {
        Self {
            address: address.to_owned(),
            user: user.map(ToOwned::to_owned),
            password_file: password_file.map(ToOwned::to_owned),
            connection: None,
        }
    }

    pub(super) fn forget(&mut self) {
        self.connection = None;
    }

    pub(super) async fn ask(&mut self) -> Answer {
        // A kept connection may be cut for reasons that are not the server's death: ask again on a new one.
        if let Some(mut connection) = self.connection.take()
            && let Ok(reply) = command(&mut connection, &["ROLE"]).await
        {
            self.connection = Some(connection);
            return judge(&reply);
        }
        match self.ask_anew().await {
            Ok(answer) => answer,
            Err(error) => Answer::Silent {
                detail: format!("no answer at {}: {}", self.address, reason(&error)),
            },
        }
    }

    async fn ask_anew(&mut self) -> std::io::Result<Answer> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let mut connection = BufReader::new(stream);
        if let Some(path) = &self.password_file {
            let password = match std::fs::read_to_string(path) {
                Ok(password) => password,
                Err(error) => {
                    return Ok(Answer::Alive {
                        role: None,
                        detail: format!(
                            "accepts connections, but failed to read {}: {error}",
                            path.display()
                        ),
                    });
                }
            };
            let user = self.user.as_deref().unwrap_or("default");
            let reply = command(
                &mut connection,
                &["AUTH", user, password.trim_end_matches(['\n', '\r'])],
            )
            .await?;
            if let Reply::Error(error) = reply {
                return Ok(Answer::Alive {
                    role: None,
                    detail: format!("refuses user {user}: {error}"),
                });
            }
        }
        let reply = command(&mut connection, &["ROLE"]).await?;
        self.connection = Some(connection);
        Ok(judge(&reply))
    }
}

async fn command(connection: &mut BufReader<TcpStream>, words: &[&str]) -> std::io::Result<Reply> {
    use std::fmt::Write as _;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(request, "${}\r\n{word}\r\n", word.len());
    }
    connection.get_mut().write_all(request.as_bytes()).await?;
    read_reply(connection).await
}

/// Reads one reply; nested lists by a stack of those that are not yet full.
async fn read_reply(connection: &mut BufReader<TcpStream>) -> std::io::Result<Reply> {
    let mut open: Vec<(usize, Vec<Reply>)> = Vec::new();
    loop {
        let mut reply = match read_item(connection).await? {
            Item::Complete(reply) => reply,
            Item::ListOf(0) => Reply::List(Vec::new()),
            Item::ListOf(length) if open.len() < usize::from(DEPTH_MAXIMUM) => {
                open.push((length, Vec::new()));
                continue;
            }
            Item::ListOf(_) => return Err(malformed("lists too deep")),
        };
        loop {
            let Some((length, mut items)) = open.pop() else {
                return Ok(reply);
            };
            items.push(reply);
            if items.len() < length {
                open.push((length, items));
                break;
            }
            reply = Reply::List(items);
        }
    }
}

enum Item {
    Complete(Reply),
    ListOf(usize),
}

async fn read_item(connection: &mut BufReader<TcpStream>) -> std::io::Result<Item> {
    let line = read_line(connection).await?;
    let (kind, rest) = line
        .split_at_checked(1)
        .ok_or_else(|| malformed("an empty line"))?;
    let number = || {
        rest.parse::<i64>()
            .map_err(|_| malformed("a length that is no number"))
    };
    Ok(match kind {
        "+" => Item::Complete(Reply::Text(rest.to_owned())),
        "-" => Item::Complete(Reply::Error(rest.to_owned())),
        ":" => Item::Complete(Reply::Number(number()?)),
        "$" => match usize::try_from(number()?) {
            Err(_) => Item::Complete(Reply::Null),
            Ok(length) if u64::try_from(length).is_ok_and(|length| length <= LINE_MAXIMUM) => {
                let mut text = vec![0; length + 2];
                connection.read_exact(&mut text).await?;
                text.truncate(length);
                Item::Complete(Reply::Text(String::from_utf8_lossy(&text).into_owned()))
            }
            Ok(_) => return Err(malformed("a text too long")),
        },
        "*" => match usize::try_from(number()?) {
            Err(_) => Item::Complete(Reply::Null),
            Ok(length) if length <= ITEMS_MAXIMUM => Item::ListOf(length),
            Ok(_) => return Err(malformed("a list too long")),
        },
        _ => return Err(malformed("not the Redis protocol")),
    })
}

async fn read_line(connection: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    connection.take(LINE_MAXIMUM).read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(malformed("an answer cut short")),
    }
}

fn malformed(reason: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, reason)
}

/// What an answer to `ROLE` means.
fn judge(reply: &Reply) -> Answer {
    let alive = |role: Option<&str>, detail: String| Answer::Alive {
        role: role.map(ToOwned::to_owned),
        detail,
    };
    let ready = |role: &str| Answer::Ready {
        role: Some(role.to_owned()),
        detail: None,
    };
    match reply {
        Reply::Error(error) => alive(None, error.clone()),
        Reply::List(items) => match (items.first(), items.get(3)) {
            (Some(Reply::Text(role)), _) if role == "master" => ready("master"),
            (Some(Reply::Text(role)), _) if role == "sentinel" => ready("sentinel"),
            (Some(Reply::Text(role)), Some(Reply::Text(link)))
                if role == "slave" && link == "connected" =>
            {
                ready("replica")
            }
            (Some(Reply::Text(role)), Some(Reply::Text(link))) if role == "slave" => alive(
                Some("replica"),
                format!("replica whose link to its master is `{link}`"),
            ),
            _ => alive(None, "an answer to ROLE that is not known".to_owned()),
        },
        _ => alive(None, "an answer to ROLE that is no list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Lets a stand-in send `bytes` and tells what is made of them.
    async fn reading(bytes: &'static [u8]) -> std::io::Result<Reply> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(bytes).await.unwrap();
        });
        let mut connection = BufReader::new(TcpStream::connect(address).await.unwrap());
        let reply = read_reply(&mut connection).await;
        server.await.unwrap();
        reply
    }

    #[tokio::test]
    async fn a_master_with_replicas_is_ready() {
        let bytes = b"*3\r\n$6\r\nmaster\r\n:42\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$5\r\n16380\r\n$2\r\n42\r\n";
        let reply = reading(bytes).await.unwrap();
        assert!(
            matches!(judge(&reply), Answer::Ready { role: Some(role), .. } if role == "master")
        );
    }

    #[tokio::test]
    async fn a_replica_is_ready_only_while_it_follows() {
        let following =
            b"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:16379\r\n$9\r\nconnected\r\n:42\r\n";
        let alone = b"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:16379\r\n$7\r\nconnect\r\n:-1\r\n";
        assert!(matches!(
            judge(&reading(following).await.unwrap()),
            Answer::Ready { role: Some(role), .. } if role == "replica"
        ));
        assert!(matches!(
            judge(&reading(alone).await.unwrap()),
            Answer::Alive { role: Some(role), .. } if role == "replica"
        ));
    }

    #[tokio::test]
    async fn an_error_is_an_answer_and_a_cut_one_is_not() {
        let loading = reading(b"-LOADING Redis is loading the dataset in memory\r\n")
            .await
            .unwrap();
        assert!(matches!(judge(&loading), Answer::Alive { .. }));
        assert!(reading(b"*2\r\n$8\r\nsent").await.is_err());
        assert!(reading(b"HTTP/1.1 400 Bad Request\r\n").await.is_err());
        assert!(reading(b"*99999999\r\n").await.is_err());
    }
}
