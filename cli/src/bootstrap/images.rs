//! That every host holds every image of the archives that it was given, with its digest.
//!
//! k3s takes archives in by itself, when it starts and when one appears. It takes none in twice, so an image that was
//! removed since (by hand, or by a kubelet that was short of disk) is brought in by us.

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

/// The images that a host holds, as `NAME@DIGEST`.
pub(super) async fn held_images(host: &dyn Host) -> Result<BTreeSet<String>, HostError> {
    let argv = ["/usr/local/bin/k3s", "ctr", "-n", "k8s.io", "images", "ls"];
    let command = Command::new("ask which images it holds", argv).as_root();
    let output = host.run_well(command).await?;
    Ok(listed(&output.text()))
}

/// Of a table of containerd, the first column with the third.
fn listed(table: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some(format!("{}@{}", words.next()?, words.nth(1)?))
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// Waits until a host holds all images.
pub(super) async fn check_images(
    waiting: &Waiting<'_>,
    cluster: &WantedCluster,
) -> Result<(), BootstrapError> {
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
