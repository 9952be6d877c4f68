//! That every host holds every image of the archives that it was given, with its digest.
//!
//! k3s takes archives in by itself, when it starts and when one appears. It takes none in twice, so an image that was
//! removed since (by hand, or by a kubelet that was short of disk) is brought in by us. What comes from a registry is
//! pulled before any pod asks for it, by its digest, so that a host which cannot is told from a shop that is broken.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::BootstrapError;
use super::model::{WantedArchive, WantedCluster};
use super::paths;
use super::plan::{missing_images, without_digest};
use super::ready::{Look, Waiting};
use crate::host::{Command, Host, HostError};

/// How long k3s is given to take in what it found, before we do.
const PATIENCE: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_mins(2);
/// No image takes longer to be pulled.
const PULL_DEADLINE: Duration = Duration::from_mins(10);

/// The images that a host holds, as `NAME@DIGEST`.
pub(super) async fn held_images(host: &dyn Host) -> Result<BTreeSet<String>, HostError> {
    let argv = ["/usr/local/bin/k3s", "ctr", "-n", "k8s.io", "images", "ls"];
    let command = Command::new("ask which images it holds", argv).as_root();
    let output = host.run_well(command).await?;
    Ok(listed(&output.text()))
}

/// Of a table of containerd, the first column with the third. A name that was pulled by its digest has it already.
fn listed(table: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, digest) = (words.next()?, words.nth(1)?);
        let named = name
            .split_once('@')
            .is_some_and(|(_, named)| named == digest);
        Some(if named {
            name.to_owned()
        } else {
            format!("{name}@{digest}")
        })
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// Waits until a host holds all images.
pub(super) async fn check_images(
    waiting: &Waiting<'_>,
    cluster: &WantedCluster,
) -> Result<(), BootstrapError> {
    pull_missing(waiting, cluster).await?;
    let begun = Instant::now();
    let brought = Cell::new(false);
    waiting
        .until("its images", DEADLINE, async || {
            let held = held_images(waiting.host).await?;
            let missing = missing_images(cluster, Some(&held));
            let Some(first) = missing.first() else {
                return Ok(Look::There);
            };
            if begun.elapsed() > PATIENCE && !brought.replace(true) {
                for archive in &cluster.archives {
                    if archive.images.iter().any(|image| missing.contains(&image)) {
                        bring_in(waiting.host, archive).await?;
                    }
                }
            }
            Ok(Look::Not(format!(
                "it does not hold {}",
                without_digest(first)
            )))
        })
        .await
}

/// Pulls what a host does not hold and the registry does.
async fn pull_missing(
    waiting: &Waiting<'_>,
    cluster: &WantedCluster,
) -> Result<(), BootstrapError> {
    if cluster.pulled.is_empty() {
        return Ok(());
    }
    let held = held_images(waiting.host).await?;
    for image in missing_images(cluster, Some(&held)) {
        if !cluster.pulled.contains(image) {
            continue;
        }
        let what = format!("{} from its registry", without_digest(image));
        waiting.observer.waiting(waiting.step, what);
        // Through the kubelet's own door, which knows the registry's password and authority.
        let argv = ["/usr/local/bin/k3s", "crictl", "pull", image];
        let command = Command::new(format!("pull {image}"), argv).as_root();
        let output = waiting.host.run(command.deadline(PULL_DEADLINE)).await?;
        if !output.is_success() {
            return Err(BootstrapError::NotPulled {
                host: waiting.host.name().to_owned(),
                image: without_digest(image).to_owned(),
                reason: why_not(&String::from_utf8_lossy(&output.stderr)),
            });
        }
    }
    Ok(())
}

/// Why an image was not pulled, of all that crictl says.
fn why_not(said: &str) -> String {
    let line = said.lines().rev().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or("crictl says nothing").trim();
    let reason = line
        .rsplit_once(" desc = ")
        .map_or(line, |(_, reason)| reason);
    // It begins with the image's name, which is told already.
    let reason = reason.trim_end_matches('"').replace("\\\"", "\"");
    match reason.split_once("\": ") {
        Some((_, rest)) => rest.to_owned(),
        None => reason,
    }
}

async fn bring_in(host: &dyn Host, archive: &WantedArchive) -> Result<(), HostError> {
    let path = format!("{}/{}", paths::IMAGES, archive.name());
    let argv = [
        "/usr/local/bin/k3s",
        "ctr",
        "-n",
        "k8s.io",
        "images",
        "import",
        &path,
    ];
    let command = Command::new(format!("bring in {path}"), argv).as_root();
    host.run_well(command.deadline(DEADLINE)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::model::WantedBinary;
    use crate::event::Unobserved;
    use crate::host::fake::{FakeHost, said};

    const TABLE: &str = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n\
        localhost/lab/redis:7 application/vnd.oci.image.manifest.v1+json sha256:aa 24.5 MiB linux/amd64 -\n";

    fn cluster(digest: &str) -> WantedCluster {
        WantedCluster {
            binary: WantedBinary::default(),
            archives: vec![WantedArchive {
                images: vec![format!("localhost/lab/redis:7@{digest}")],
                ..WantedArchive::default()
            }],
            ..WantedCluster::default()
        }
    }

    #[test]
    fn an_image_with_another_digest_is_not_the_one_that_is_wanted() {
        let held = listed(TABLE);
        assert!(missing_images(&cluster("sha256:aa"), Some(&held)).is_empty());
        assert_eq!(missing_images(&cluster("sha256:bb"), Some(&held)).len(), 1);
        assert_eq!(missing_images(&cluster("sha256:aa"), None).len(), 1);
    }

    fn pulling() -> WantedCluster {
        WantedCluster {
            pulled: vec!["registry.example.com/shop/shopd@sha256:cc".to_owned()],
            ..WantedCluster::default()
        }
    }

    #[test]
    fn an_image_that_was_pulled_by_its_digest_is_listed_with_it_once() {
        let table = format!(
            "{TABLE}registry.example.com/shop/shopd@sha256:cc x sha256:cc 1 MiB linux/amd64 -\n"
        );
        assert!(missing_images(&pulling(), Some(&listed(&table))).is_empty());
        assert_eq!(missing_images(&pulling(), Some(&listed(TABLE))).len(), 1);
    }

    #[tokio::test]
    async fn a_host_that_cannot_pull_says_which_image_and_why() {
        let host = FakeHost::new("agent-1")
            .answers("ask which images", |_| Ok(said(0, TABLE, "")))
            .answers("pull registry.example.com", |command| {
                assert_eq!(command.argv()[2..], ["pull", "registry.example.com/shop/shopd@sha256:cc"]);
                Ok(said(1, "", r#"E0101 noise
time="x" level=fatal msg="pulling image: rpc error: code = Unknown desc = failed to pull and unpack image \"registry.example.com/shop/shopd@sha256:cc\": failed to do request: dial tcp 192.0.2.1:443: connect: no route to host""#))
            });
        let waiting = Waiting {
            host: &host,
            step: "check images on agent-1",
            observer: &Unobserved,
            unit: "k3s-agent",
        };
        let error = check_images(&waiting, &pulling()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to pull registry.example.com/shop/shopd on agent-1: failed to do request: dial tcp 192.0.2.1:443: connect: no route to host"
        );
        assert!(error.hints()[0].contains("agent-1 reaches registry.example.com"));
    }

    #[tokio::test]
    async fn a_host_that_holds_all_images_is_not_waited_for() {
        let host = FakeHost::new("agent-1")
            .answers("ask which images", |_| Ok(said(0, TABLE, "")))
            .says("journal", "");
        let waiting = Waiting {
            host: &host,
            step: "check images on agent-1",
            observer: &Unobserved,
            unit: "k3s-agent",
        };
        check_images(&waiting, &cluster("sha256:aa")).await.unwrap();
    }
}
