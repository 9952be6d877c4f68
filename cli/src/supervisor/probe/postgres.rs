//! The start packet of a Postgres connection, which only a postmaster that works answers; and now and then the role,
//! by a query as a user.
//!
//! A connection that is kept would not do: it belongs to a backend, which goes on while its postmaster hangs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::reason;
use crate::supervisor::health::Answer;

/// Protocol 3.0, as it stands in a start packet.
const PROTOCOL: u32 = 3 << 16;
/// How often the role is asked for: it changes only by a promotion.
const ROLE_EVERY: Duration = Duration::from_secs(30);
/// An error message longer than this is not an answer of Postgres.
const MESSAGE_MAXIMUM: u32 = 16 * 1024;

/// The probe of a Postgres.
pub(super) struct PostgresProbe {
    host: String,
    port: u16,
    database: String,
    user: String,
    password_file: Option<PathBuf>,
    role: Option<(String, Instant)>,
}

impl PostgresProbe {
    pub(super) fn new(
        host: &str,
        port: u16,
        database: &str,
        user: &str,
        password_file: Option<&Path>,
    ) -> Self {
        Self {
            host: host.to_owned(),
            port,
            database: database.to_owned(),
            user: user.to_owned(),
            password_file: password_file.map(ToOwned::to_owned),
            role: None,
        }
    }

    pub(super) async fn ask(&mut self) -> Answer {
        match self.greet().await {
            Ok(None) => {}
            Ok(Some(refusal)) => {
                self.role = None;
                return Answer::Alive {
                    role: None,
                    detail: refusal,
                };
            }
            Err(error) => {
                return Answer::Silent {
                    detail: format!(
                        "no answer at {}, port {}: {}",
                        self.host,
                        self.port,
                        reason(&error)
                    ),
                };
            }
        }
        let detail = self.refresh_role().await.err();
        Answer::Ready {
            role: self.role.as_ref().map(|(role, _)| role.clone()),
            detail,
        }
    }

    /// Sends a start packet: none if the server goes on to authentication, else why it will not serve.
    async fn greet(&self) -> std::io::Result<Option<String>> {
        let packet = start_packet(&self.user, &self.database);
        if self.host.starts_with('/') {
            let path = Path::new(&self.host).join(format!(".s.PGSQL.{}", self.port));
            exchange(UnixStream::connect(path).await?, &packet).await
        } else {
            exchange(
                TcpStream::connect((self.host.as_str(), self.port)).await?,
                &packet,
            )
            .await
        }
    }

    /// Asks for the role if it is not known or old. An error is worth showing, but the server does serve.
    async fn refresh_role(&mut self) -> Result<(), String> {
        let fresh = self
            .role
            .as_ref()
            .is_some_and(|(_, at)| at.elapsed() < ROLE_EVERY);
        let Some(path) = self.password_file.as_ref().filter(|_| !fresh) else {
            return Ok(());
        };
        let password = std::fs::read_to_string(path)
            .map_err(|error| format!("failed to read {}: {error}", path.display()))?;
        let options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .password(password.trim_end_matches(['\n', '\r']))
            .ssl_mode(PgSslMode::Disable)
            .application_name("shopctl supervisor");
        let options = if self.host.starts_with('/') {
            options.socket(&self.host)
        } else {
            options.host(&self.host)
        };
        let ask = async {
            let mut connection = options.disable_statement_logging().connect().await?;
            let recovering: bool = sqlx::query_scalar("select pg_is_in_recovery()")
                .fetch_one(&mut connection)
                .await?;
            sqlx::Connection::close(connection).await?;
            Ok::<_, sqlx::Error>(recovering)
        };
        let recovering = ask
            .await
            .map_err(|error| format!("failed to ask for the role: {error}"))?;
        let role = if recovering { "replica" } else { "primary" };
        self.role = Some((role.to_owned(), Instant::now()));
        Ok(())
    }
}

fn start_packet(user: &str, database: &str) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for text in ["user", user, "database", database] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut packet = length.to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    packet: &[u8],
) -> std::io::Result<Option<String>> {
    let malformed =
        || std::io::Error::new(std::io::ErrorKind::InvalidData, "not an answer of Postgres");
    stream.write_all(packet).await?;
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await?;
    match kind {
        b'R' | b'E' if (5..=MESSAGE_MAXIMUM).contains(&length) => {
            // Read to its end also if it says nothing more: bytes left unread would reset the connection, which the
            // server writes into its log each time.
            let mut body = vec![0; usize::try_from(length - 4).map_err(|_| malformed())?];
            stream.read_exact(&mut body).await?;
            Ok(if kind == b'E' { refusal(&body) } else { None })
        }
        _ => Err(malformed()),
    }
}

/// Why the server refuses; none for a reason that says nothing against its serving others.
fn refusal(body: &[u8]) -> Option<String> {
    const TOO_MANY_CONNECTIONS: &str = "53300";
    let field = |wanted: u8| {
        body.split(|&byte| byte == 0)
            .filter_map(|field| field.split_first())
            .find_map(|(&kind, text)| {
                (kind == wanted).then(|| String::from_utf8_lossy(text).into_owned())
            })
    };
    let code = field(b'C').unwrap_or_default();
    (code != TOO_MANY_CONNECTIONS).then(|| field(b'M').unwrap_or(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_packet_counts_itself() {
        let packet = start_packet("shop", "shop");
        assert_eq!(packet.len(), 4 + 4 + 5 + 5 + 9 + 5 + 1);
        assert_eq!(packet.get(..4), Some(&33_u32.to_be_bytes()[..]));
    }

    #[test]
    fn a_server_that_starts_up_is_alive_and_one_that_is_full_serves() {
        let starting = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
        assert_eq!(
            refusal(starting).as_deref(),
            Some("the database system is starting up")
        );
        let full = b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0";
        assert_eq!(refusal(full), None);
    }
}
