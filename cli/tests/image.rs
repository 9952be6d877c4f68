//! Images as `shopctl image pack` writes them, read by other eyes: a tar, its documents, and the program in it at work.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod skipped;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

fn shopd() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_shopctl")).with_file_name("shopd");
    assert!(
        path.exists(),
        "{} is missing: build the whole workspace",
        path.display()
    );
    path
}

fn pack(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shopctl"))
        .current_dir(folder)
        .args(["image", "pack", "-o", "json"])
        .args(arguments)
        .output()
        .unwrap()
}

fn packed(folder: &Path, arguments: &[&str]) -> Value {
    let output = pack(folder, arguments);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The files of an archive by their path in it.
fn files(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        })
        .collect()
}

/// An archive, followed from its index to its layers. Every part must have the digest and size that it is named with.
struct Image {
    name: String,
    manifest: String,
    config: Value,
    layers: Vec<Vec<u8>>,
}

impl Image {
    fn read(archive: &Path) -> Self {
        let files = files(archive);
        let part = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap();
            let bytes = &files[&format!("blobs/{}", name.replace(':', "/"))];
            assert_eq!(digest(bytes), name);
            assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
            bytes.clone()
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(json(&files["oci-layout"])["imageLayoutVersion"], "1.0.0");
        let index = json(&files["index.json"]);
        let first = &index["manifests"][0];
        let manifest = json(&part(first));
        let config = json(&part(&manifest["config"]));
        let layers: Vec<Vec<u8>> = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| zstd::decode_all(part(layer).as_slice()).unwrap())
            .collect();
        let contents: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!(contents));
        Self {
            name: first["annotations"]["io.containerd.image.name"]
                .as_str()
                .unwrap()
                .to_owned(),
            manifest: first["digest"].as_str().unwrap().to_owned(),
            config,
            layers,
        }
    }

    fn unpack(&self, folder: &Path) {
        for layer in &self.layers {
            let mut archive = tar::Archive::new(layer.as_slice());
            archive.set_preserve_permissions(true);
            archive.unpack(folder).unwrap();
        }
    }
}

#[test]
fn the_same_program_gives_the_same_bytes_wherever_and_whenever_it_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let copy = elsewhere.join("shopd");
    fs::copy(shopd(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).unwrap();

    let first = packed(folder.path(), &["--out", "first.tar"]);
    let second = packed(folder.path(), &["elsewhere/shopd", "--out", "second.tar"]);

    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(first["name"], second["name"]);
    let bytes = fs::read(folder.path().join("first.tar")).unwrap();
    assert!(bytes == fs::read(folder.path().join("second.tar")).unwrap());
    assert_eq!(first["size"], bytes.len());
    // Nothing is left of the layers that were written beside it.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn an_image_is_named_after_its_content_and_runs_as_nobody_in_particular() {
    let folder = tempfile::tempdir().unwrap();
    let told = packed(
        folder.path(),
        &["--label", "a=b", "--variable", "RUST_LOG=info"],
    );
    let image = Image::read(&folder.path().join(told["path"].as_str().unwrap()));

    assert_eq!(told["digest"], image.manifest.as_str());
    assert_eq!(told["name"], image.name.as_str());
    let tag = &image.manifest["sha256:".len()..][..12];
    assert_eq!(image.name, format!("localhost/shopctl/shopd:{tag}"));
    assert_eq!(told["path"], format!("./shopd-{tag}.tar"));
    let config = &image.config["config"];
    assert_eq!(config["User"], "10001:10001");
    assert_eq!(
        config["Entrypoint"],
        serde_json::json!(["/usr/local/bin/shopd"])
    );
    assert_eq!(config["Labels"], serde_json::json!({"a": "b"}));
    assert_eq!(config["Env"][1], "RUST_LOG=info");

    let other = packed(folder.path(), &["--user", "20000"]);
    assert_ne!(told["digest"], other["digest"]);
}

#[test]
fn the_packed_program_runs_in_nothing_but_what_was_packed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    packed(folder.path(), &["--out", "image.tar"]);
    Image::read(&folder.path().join("image.tar")).unpack(&root);

    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--root").arg(&root).args(["--setuid", "10001"]);
    let Ok(output) = command.args(["/usr/local/bin/shopd", "--version"]).output() else {
        return skipped::say_skipped("there is no unshare (util-linux) here");
    };
    let said = said(&output);
    if !output.status.success()
        && (said.contains("not permitted") || said.contains("unshare failed"))
    {
        return skipped::say_skipped("this user may not change the root folder of a process");
    }
    assert!(output.status.success(), "{said}");
    let itself = Command::new(shopd()).arg("--version").output().unwrap();
    assert_eq!(output.stdout, itself.stdout);
}

#[test]
fn a_root_file_system_keeps_its_modes_owners_and_links() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(root.join("usr/bin/tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(
        root.join("usr/bin/tool"),
        fs::Permissions::from_mode(0o4755),
    )
    .unwrap();
    fs::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/another")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    let long = format!("usr/{}/{}", "long".repeat(30), "name".repeat(30));
    fs::create_dir_all(root.join(&long)).unwrap();

    // Through the link, as a kernel would find it.
    let arguments = [
        "--root",
        "root",
        "--name",
        "localhost/a:1",
        "--entrypoint",
        "/bin/tool",
        "--out",
        "a.tar",
    ];
    packed(folder.path(), &arguments);

    let image = Image::read(&folder.path().join("a.tar"));
    assert_eq!(image.name, "localhost/a:1");
    let unpacked = folder.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    image.unpack(&unpacked);
    assert_eq!(
        fs::metadata(unpacked.join("tmp")).unwrap().mode() & 0o7777,
        0o1777
    );
    let tool = fs::metadata(unpacked.join("usr/bin/tool")).unwrap();
    assert_eq!(tool.mode() & 0o7777, 0o4755);
    assert_eq!(
        tool.ino(),
        fs::metadata(unpacked.join("usr/bin/another"))
            .unwrap()
            .ino()
    );
    assert_eq!(
        fs::read_link(unpacked.join("bin")).unwrap(),
        Path::new("usr/bin")
    );
    assert!(unpacked.join(&long).is_dir());
    let mut layer = tar::Archive::new(image.layers[0].as_slice());
    let own = fs::metadata(&root).unwrap().uid();
    for entry in layer.entries().unwrap() {
        assert_eq!(entry.unwrap().header().uid().unwrap(), u64::from(own));
    }
}

#[test]
fn only_files_are_replaced_and_links_stay_links() {
    let folder = tempfile::tempdir().unwrap();
    let [link, file, pipe] = ["link.tar", "file.tar", "pipe"].map(|name| folder.path().join(name));
    fs::write(&file, "an older archive").unwrap();
    symlink("file.tar", &link).unwrap();
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let program = shopd();
    let program = program.to_str().unwrap();
    packed(folder.path(), &[program, "--out", "link.tar"]);
    assert!(link.is_symlink());
    assert!(files(&file).contains_key("index.json"));
    let refused = pack(folder.path(), &[program, "--out", "pipe"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("it is there and no file"));
    assert!(!pipe.is_file());
}

#[test]
fn what_cannot_be_packed_is_refused_with_what_is_wrong_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("root")).unwrap();
    fs::write(path.join("script"), "#!/bin/sh\n").unwrap();
    fs::write(path.join("text"), "text").unwrap();
    fs::write(path.join("broken"), b"\x7fELF\x02\x01\x01 and no more").unwrap();
    lacking_libraries(&path.join("lacking"));
    let before = fs::read_dir(path).unwrap().count();

    let cases: [(&[&str], i32, &str); 9] = [
        (&["script"], 2, "no program for Linux (it is a script)"),
        (&["text"], 2, "no program for Linux (it is no ELF file)"),
        (&["broken"], 2, "no program for Linux"),
        (&["absent"], 2, "failed to read absent"),
        (&["lacking"], 3, "are missing: libnix_s.so.1 (needed by "),
        (
            &["--out", "no/folder/a.tar"],
            1,
            "failed to write no/folder/a.tar",
        ),
        (&["--name", "shopd"], 2, "begins with a registry's host"),
        (
            &[
                "--root",
                "root",
                "--name",
                "localhost/a",
                "--entrypoint",
                "/bin/sh",
            ],
            2,
            "failed to pack root: there is no /bin/sh in it",
        ),
        (
            &["--root", "absent", "--name", "localhost/a"],
            2,
            "failed to read absent",
        ),
    ];
    for (arguments, code, words) in cases {
        let output = pack(path, arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
    }
    assert_eq!(fs::read_dir(path).unwrap().count(), before);
}

/// A program that needs a shared object that nobody has: shopd, with another name in the place of one.
fn lacking_libraries(path: &Path) {
    let mut bytes = fs::read(shopd()).unwrap();
    let name = b"\0libgcc_s.so.1\0";
    let place = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    bytes[place + 1..place + 7].copy_from_slice(b"libnix");
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_full_disk_is_told_and_leaves_no_half_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    // Random, so that it cannot be compressed to fit.
    let mut noise = vec![0; 3 << 20];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut noise)
        .unwrap();
    fs::write(root.join("noise"), noise).unwrap();
    let script = "mount -t tmpfs -o size=2m none \"$1\" && cd \"$1\" && \"$2\" image pack --root \"$3\" --name localhost/a:1; \
                  code=$?; ls -A; exit $code";
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([&small, Path::new(env!("CARGO_BIN_EXE_shopctl")), &root])
        .output();
    let Ok(output) = output else {
        return skipped::say_skipped("there is no unshare (util-linux) here");
    };
    let said = said(&output);
    if said.contains("mount:") || said.contains("unshare failed") {
        return skipped::say_skipped("this user may not mount a small disk");
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("failed to write .") && said.contains("No space left"),
        "{said}"
    );
    assert_eq!(output.stdout, b"", "what `ls -A` lists");
}
