//! What a registry lacks of an image, and bringing it there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::try_unfold;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::client::{Answer, Body, bytes, said};
use super::{Client, PackedImage, Part, RegistryError};
use crate::event::Observer;

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// How much is read from a file at once.
const CHUNK: usize = 256 << 10;
/// How long an upload may stand still.
const STANDSTILL: Duration = Duration::from_mins(1);
/// How often it is told how far one is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a registry lacks of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Parts that it does not hold.
    pub parts: Vec<Part>,
    /// Whether the image's tag is not there, or is another image's.
    pub manifest: bool,
}

impl Lack {
    /// Whether it lacks nothing.
    pub fn is_nothing(&self) -> bool {
        self.parts.is_empty() && !self.manifest
    }

    /// How many bytes there are to send, without the manifest.
    pub fn size(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }
}

/// An image's place in a registry.
struct Place<'a> {
    client: &'a Client,
    /// As the registry's own paths have it.
    repository: String,
    /// As everybody else has it.
    name: String,
}

impl Client {
    /// Asks what the registry lacks of an image. `name` is its name below the registry's address.
    pub async fn lacks(&self, name: &str, image: &PackedImage) -> Result<Lack, RegistryError> {
        let place = self.place(name);
        let manifest = place.tagged(image);
        let parts = futures_util::future::try_join_all(image.parts.iter().map(async |part| {
            let path = format!("/v2/{}/blobs/{}", place.repository, part.digest);
            let answer = self.send(self.request(Method::HEAD, &path)?).await?;
            match answer.status {
                // Where its parts are elsewhere, it tells where.
                status if status.is_success() || status.is_redirection() => Ok(None),
                StatusCode::NOT_FOUND => Ok(Some(part.clone())),
                _ => Err(place.error(&answer, "ask for a part of the image")),
            }
        }));
        let (manifest, parts) = futures_util::future::try_join(manifest, parts).await?;
        Ok(Lack {
            parts: parts.into_iter().flatten().collect(),
            manifest: manifest.as_ref() != Some(&image.digest),
        })
    }

    /// Brings there what it lacks, and sees that it holds the image under its name and digest then.
    pub async fn push(
        &self,
        name: &str,
        image: &PackedImage,
        lack: &Lack,
        (observer, step): (&dyn Observer, &str),
    ) -> Result<(), RegistryError> {
        let place = self.place(name);
        let sent = Arc::new(AtomicU64::new(0));
        for part in &lack.parts {
            self.renew().await?;
            let upload = place.upload(image, part, &sent);
            let told = |moved: u64| {
                let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
                let far = format!("{:.1} of {:.1} MiB", mib(moved), mib(lack.size()));
                observer.waiting(
                    step,
                    format!("{} to take the image ({far})", self.access.host()),
                );
            };
            place.watched(upload, &sent, told).await?;
        }
        self.renew().await?;
        place.tag(image).await?;
        match place.tagged(image).await? {
            Some(found) if found == image.digest => Ok(()),
            found => Err(RegistryError::OtherDigest {
                repository: place.name.clone(),
                found: found.unwrap_or_else(|| "nothing".to_owned()),
                sent: image.digest.clone(),
            }),
        }
    }

    fn place(&self, name: &str) -> Place<'_> {
        Place {
            client: self,
            repository: self.access.repository(name),
            name: format!("{}/{name}", self.access.address),
        }
    }
}

impl Place<'_> {
    /// The digest of what has the image's tag, if there is something.
    async fn tagged(&self, image: &PackedImage) -> Result<Option<String>, RegistryError> {
        let mut found = self.manifest(image, image.tag()).await?;
        if found.as_deref() == Some("") {
            // It does not tell digests; then it is asked for ours.
            found = self.manifest(image, &image.digest).await?;
            found = found.map(|_| image.digest.clone());
        }
        Ok(found)
    }

    /// The digest that it tells of a manifest; none: it has none.
    async fn manifest(
        &self,
        image: &PackedImage,
        reference: &str,
    ) -> Result<Option<String>, RegistryError> {
        let path = format!("/v2/{}/manifests/{reference}", self.repository);
        let mut request = self.client.request(Method::HEAD, &path)?;
        if let Ok(value) = HeaderValue::try_from(&image.media_type) {
            request.headers_mut().insert(http::header::ACCEPT, value);
        }
        let answer = self.client.send(request).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.header(DIGEST).unwrap_or_default().to_owned())),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.error(&answer, "ask for the image")),
        }
    }

    /// Sends a part.
    async fn upload(
        &self,
        image: &PackedImage,
        part: &Part,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), RegistryError> {
        let client = self.client;
        let path = format!("/v2/{}/blobs/uploads/", self.repository);
        let begun = client.send(client.request(Method::POST, &path)?).await?;
        let location = begun
            .location()
            .filter(|_| begun.status == StatusCode::ACCEPTED);
        let Some(location) = location else {
            return Err(self.error(&begun, "begin to push the image"));
        };
        let separator = if location.contains('?') { '&' } else { '?' };
        let place = format!("{location}{separator}digest={}", part.digest);
        let mut request = client.request(Method::PUT, &place)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(part.size));
        let octets = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, octets);
        *request.body_mut() = body(image, part, Arc::clone(sent))
            .await
            .map_err(|source| RegistryError::Archive {
                path: image.archive.clone(),
                source,
            })?;
        let answer = client.send_slowly(request).await?;
        if answer.status == StatusCode::CREATED {
            return Ok(());
        }
        Err(self.error(&answer, "push a part of the image"))
    }

    /// Gives the image its name: after this it can be pulled.
    async fn tag(&self, image: &PackedImage) -> Result<(), RegistryError> {
        let path = format!("/v2/{}/manifests/{}", self.repository, image.tag());
        let mut request = self.client.request(Method::PUT, &path)?;
        if let Ok(value) = HeaderValue::try_from(&image.media_type) {
            request.headers_mut().insert(CONTENT_TYPE, value);
        }
        *request.body_mut() = bytes(image.manifest.clone());
        let answer = self.client.send(request).await?;
        if answer.status == StatusCode::CREATED {
            return Ok(());
        }
        Err(self.error(&answer, "push the image's manifest"))
    }

    /// Waits for an upload as long as it moves.
    async fn watched(
        &self,
        upload: impl Future<Output = Result<(), RegistryError>>,
        sent: &AtomicU64,
        told: impl Fn(u64),
    ) -> Result<(), RegistryError> {
        let mut upload = std::pin::pin!(upload);
        let (mut moved, mut since) = (0, Instant::now());
        loop {
            if let Ok(ended) = tokio::time::timeout(LOOK_EVERY, &mut upload).await {
                return ended;
            }
            let now = sent.load(Ordering::Relaxed);
            if now != moved {
                (moved, since) = (now, Instant::now());
            } else if since.elapsed() > STANDSTILL {
                let reason = format!("an upload stands still since {} s", STANDSTILL.as_secs());
                return Err(RegistryError::unreachable(&self.client.access, &reason));
            }
            told(moved);
        }
    }

    /// The error that an answer is.
    fn error(&self, answer: &Answer, what: &str) -> RegistryError {
        let access = &self.client.access;
        let full = [
            "no space left",
            "quota",
            "insufficient storage",
            "disk full",
        ];
        let text = answer.text.to_lowercase();
        match answer.status {
            StatusCode::UNAUTHORIZED => RegistryError::login(access),
            _ if full.iter().any(|words| text.contains(words)) => self.no_room(answer),
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::INSUFFICIENT_STORAGE => {
                self.no_room(answer)
            }
            StatusCode::FORBIDDEN => RegistryError::Forbidden {
                repository: self.name.clone(),
                user: access.user.clone(),
            },
            _ => answer.refused(access, what),
        }
    }

    fn no_room(&self, answer: &Answer) -> RegistryError {
        RegistryError::NoRoom {
            repository: self.name.clone(),
            reason: format!("{} {}", answer.status.as_u16(), said(&answer.text)),
        }
    }
}

/// A part of an archive as what is sent; what has been is counted.
async fn body(image: &PackedImage, part: &Part, sent: Arc<AtomicU64>) -> std::io::Result<Body> {
    let mut file = tokio::fs::File::open(&image.archive).await?;
    file.seek(std::io::SeekFrom::Start(part.offset)).await?;
    let chunks = try_unfold((file.take(part.size), sent), async |(mut file, sent)| {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            return Ok(None);
        }
        chunk.truncate(read);
        sent.fetch_add(read as u64, Ordering::Relaxed);
        Ok(Some((Frame::data(Bytes::from(chunk)), (file, sent))))
    });
    Ok(StreamBody::new(chunks).boxed_unsync())
}
