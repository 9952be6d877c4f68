//! What is wrong is said with what, where and what to do, and with no password.

use std::io::{Read as _, Write as _};

use shopctl::environment::Registry;
use shopctl::event::Unobserved;
use shopctl::registry::RegistryError;

use super::server::{Kind, Server, free_port};

const OPEN: Kind = Kind {
    closed: false,
    tls: false,
    room: None,
};
const CLOSED: Kind = Kind {
    closed: true,
    tls: true,
    room: None,
};

/// The error of connecting, and of asking for an image.
async fn refused(server: &Server, told: Registry) -> RegistryError {
    let client = match server.open(&told).await {
        Ok(client) => client,
        Err(error) => return error,
    };
    client.lacks("shopd", &server.image()).await.unwrap_err()
}

fn assert_said(error: &RegistryError, what: &str, hint: &str) {
    let (said, advice) = (error.to_string(), error.hint());
    assert!(said.contains(what) && said.contains("127.0.0.1:"), "{said}");
    assert!(advice.contains(hint), "{advice}");
    assert!(!format!("{said} {advice} {error:?}").contains("hunter"));
}

#[tokio::test]
async fn a_password_that_is_wrong_or_missing_is_named_by_its_file() {
    let Some(server) = Server::start(CLOSED) else {
        return;
    };
    let wrong = server.file("wrong", "hunter3\n");
    let told = Registry {
        password_file: Some(wrong),
        ..server.told()
    };
    let error = refused(&server, told).await;
    assert_said(
        &error,
        "does not take the password of joe",
        "/wrong (`registry.passwordFile`)",
    );
    let told = Registry {
        user: None,
        password_file: None,
        ..server.told()
    };
    let error = refused(&server, told).await;
    assert_said(&error, "asks for a user and a password", "`registry.user`");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let Some(server) = Server::start(CLOSED) else {
        return;
    };
    let with = |file: Option<&str>| Registry {
        ca_file: file.map(str::to_owned),
        ..server.told()
    };
    let error = refused(&server, with(None)).await;
    assert_said(
        &error,
        "signed by nobody whom this machine knows",
        "`registry.caFile`",
    );
    let error = refused(&server, with(Some("other.crt"))).await;
    assert_said(
        &error,
        "is not signed by /",
        "other.crt (`registry.caFile`)",
    );
    let error = refused(&server, with(Some("server.key"))).await;
    assert!(
        error.to_string().contains("it holds no certificate in PEM"),
        "{error}"
    );
    let own = Registry {
        ca_file: Some("server.crt".to_owned()),
        ..server.told()
    };
    assert!(
        server.open(&own).await.is_ok(),
        "its own certificate is as good"
    );
}

#[tokio::test]
async fn a_registry_that_speaks_tls_is_told_from_one_that_does_not() {
    let (Some(plain), Some(secured)) = (Server::start(OPEN), Server::start(CLOSED)) else {
        return;
    };
    let told = Registry {
        plain_http: false,
        ..plain.told()
    };
    assert_said(
        &refused(&plain, told).await,
        "answers without TLS",
        "registry.plainHttp: true",
    );
    let told = Registry {
        plain_http: true,
        ..secured.told()
    };
    assert_said(
        &refused(&secured, told).await,
        "a demand for TLS",
        "take `registry.plainHttp` out",
    );
}

#[tokio::test]
async fn nobody_and_somebody_else_are_no_registry() {
    let Some(server) = Server::start(OPEN) else {
        return;
    };
    let told = Registry {
        address: format!("127.0.0.1:{}/shop", free_port()),
        ..server.told()
    };
    assert_said(
        &refused(&server, told).await,
        "Connection refused",
        "`registry.address`",
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let told = Registry {
        address: listener.local_addr().unwrap().to_string(),
        ..server.told()
    };
    let serving = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 1024]).unwrap();
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        client.write_all(answer).unwrap();
    });
    assert_said(
        &refused(&server, told).await,
        "/v2/ answers 404",
        "host, port and the path",
    );
    serving.join().unwrap();
}

#[tokio::test]
async fn a_registry_without_room_says_so_and_takes_the_rest_when_it_has_some() {
    let full = Kind {
        room: Some(300),
        ..OPEN
    };
    let Some(server) = Server::start(full) else {
        return;
    };
    let image = server.image();
    let client = server.open(&server.told()).await.unwrap();
    let lack = client.lacks("shopd", &image).await.unwrap();
    assert!(lack.size() > 300 << 10, "{}", lack.size());
    let told = (&Unobserved as _, "push shopd");
    let error = client.push("shopd", &image, &lack, told).await.unwrap_err();
    assert_said(&error, "has no room for it", "sends only what is missing");
}
