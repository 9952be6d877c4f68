//! What is sent, and what is not.

use std::fs;
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse as _, Response};
use shopctl::environment::Registry;
use shopctl::event::Unobserved;
use shopctl::registry::{Access, Client, PackedImage, RegistryError};

use super::server::{Kind, Server};

const CLOSED: Kind = Kind {
    closed: true,
    tls: true,
    room: None,
};

async fn push(client: &Client, image: &PackedImage) -> Result<usize, RegistryError> {
    let lack = client.lacks("shopd", image).await?;
    if !lack.is_nothing() {
        let told = (&Unobserved as _, "push shopd");
        client.push("shopd", image, &lack, told).await?;
    }
    Ok(lack.parts.len())
}

#[tokio::test]
async fn a_registry_is_sent_what_it_lacks_and_nothing_twice() {
    let Some(server) = Server::start(CLOSED) else {
        return;
    };
    let image = server.image();
    let client = server.open(&server.told()).await.unwrap();
    let lack = client.lacks("shopd", &image).await.unwrap();
    assert_eq!((lack.parts.len(), lack.manifest), (3, true));
    assert_eq!(
        lack.size(),
        image.parts.iter().map(|part| part.size).sum::<u64>()
    );
    assert_eq!(server.requests("PUT") + server.requests("POST"), 0);

    assert_eq!(push(&client, &image).await.unwrap(), 3);
    // Three parts and the manifest.
    assert_eq!((server.requests("POST"), server.requests("PUT")), (3, 4));
    let tag = server
        .stored()
        .join("_manifests/tags")
        .join(image.tag())
        .join("current/link");
    assert_eq!(fs::read_to_string(tag).unwrap(), image.digest);

    let again = server.open(&server.told()).await.unwrap();
    assert_eq!(push(&again, &image).await.unwrap(), 0);
    assert_eq!((server.requests("POST"), server.requests("PUT")), (3, 4));
}

#[tokio::test]
async fn what_somebody_removed_is_sent_again_and_nothing_else() {
    let Some(server) = Server::start(Kind::default()) else {
        return;
    };
    let image = server.image();
    let client = server.open(&server.told()).await.unwrap();
    push(&client, &image).await.unwrap();

    fs::remove_dir_all(server.stored().join("_manifests")).unwrap();
    let lack = client.lacks("shopd", &image).await.unwrap();
    assert_eq!((lack.parts.len(), lack.manifest), (0, true));
    push(&client, &image).await.unwrap();
    assert_eq!((server.requests("POST"), server.requests("PUT")), (3, 5));

    let layer = image.parts[0].digest.replace("sha256:", "_layers/sha256/");
    fs::remove_dir_all(server.stored().join(layer)).unwrap();
    assert_eq!(push(&client, &image).await.unwrap(), 1);
    assert!(client.lacks("shopd", &image).await.unwrap().is_nothing());
}

#[tokio::test]
async fn a_tag_that_is_another_images_is_taken_back() {
    let Some(server) = Server::start(Kind::default()) else {
        return;
    };
    let image = server.image();
    let client = server.open(&server.told()).await.unwrap();
    push(&client, &image).await.unwrap();
    let mut other = image.clone();
    other.manifest.push(b'\n');
    // Its manifest differs and its tag does not, as if somebody had moved the tag.
    let lack = client.lacks("shopd", &image).await.unwrap();
    let lack = shopctl::registry::Lack {
        manifest: true,
        ..lack
    };
    let told = (&Unobserved as _, "push shopd");
    let error = client.push("shopd", &other, &lack, told).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::OtherDigest { .. }),
        "{error}"
    );
    assert!(error.to_string().contains(&image.digest), "{error}");

    assert!(client.lacks("shopd", &image).await.unwrap().manifest);
    push(&client, &image).await.unwrap();
    assert!(client.lacks("shopd", &image).await.unwrap().is_nothing());
}

type Seen = Arc<Mutex<Vec<String>>>;

/// A registry that lets nobody in without a token, and holds nothing.
async fn answer(State((seen, port)): State<(Seen, u16)>, request: Request) -> Response {
    let of = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let authorization = of(AUTHORIZATION).unwrap_or_default().to_owned();
    let place = request.uri().to_string();
    seen.lock()
        .unwrap()
        .push(format!("{} {place} {authorization}", request.method()));
    if place.starts_with("/token") {
        return (StatusCode::OK, r#"{"token": "one"}"#).into_response();
    }
    if authorization == "Bearer one" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let challenge = format!(r#"Bearer realm="http://127.0.0.1:{port}/token",service="the shop""#);
    (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
}

#[tokio::test]
async fn where_a_registry_wants_a_token_the_password_goes_to_who_gives_it_out_alone() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let router = axum::Router::new()
        .fallback(answer)
        .with_state((Arc::clone(&seen), port));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("password"), "hunter2").unwrap();
    let told = Registry {
        address: format!("127.0.0.1:{port}/shop"),
        user: Some("joe".to_owned()),
        password_file: Some("password".to_owned()),
        ca_file: None,
        plain_http: true,
    };
    let access = Access::read(&told, folder.path()).unwrap();
    let client = Client::open(access, "shopd").await.unwrap();
    let image = PackedImage {
        archive: "/nowhere".into(),
        digest: format!("sha256:{}", "0".repeat(64)),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        manifest: Vec::new(),
        parts: Vec::new(),
    };
    assert!(client.lacks("shopd", &image).await.unwrap().manifest);
    serving.abort();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], "GET /v2/ ");
    assert_eq!(
        seen[1],
        "GET /token?service=the%20shop&scope=repository:shop/shopd:pull%2Cpush Basic am9lOmh1bnRlcjI="
    );
    assert_eq!(
        seen[2],
        "HEAD /v2/shop/shopd/manifests/000000000000 Bearer one"
    );
    assert_eq!(seen.len(), 3);
}
