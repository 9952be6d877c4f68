//! The real binary's output, word for word. `SNAPSHOTS=overwrite cargo test --test golden` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use snapbox::{Assert, Data};

/// The binary, in a folder of its own and with no settings of whoever runs the test.
fn shopctl(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shopctl"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("PATH", "/usr/bin:/bin")
        .env("COLUMNS", "100");
    command
}

struct Ended {
    stdout: String,
    stderr: String,
    code: i32,
}

fn run(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}

fn assert_is(actual: &str, file: &Path) {
    Assert::new()
        .action_env("SNAPSHOTS")
        .eq(actual, Data::read_from(file, None).raw());
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn golden(name: &str) -> PathBuf {
    tests().join("golden").join(name)
}

#[test]
fn every_wrong_file_is_refused_with_all_its_problems() {
    let folder = tests().join("wrong");
    let mut files: Vec<PathBuf> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 45, "{} files", files.len());
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let ended = run(shopctl(&folder).args(["env", "validate", name]));
        assert_eq!(ended.code, 2, "{name}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{name}");
        assert_is(&ended.stderr, &file.with_extension("stderr"));
    }
}

#[test]
fn a_file_that_is_too_large_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("large.yaml"),
        "# comment\n".repeat(200_000),
    )
    .unwrap();
    let ended = run(shopctl(folder.path()).args(["env", "validate", "large.yaml"]));
    assert_eq!(ended.code, 2);
    assert_eq!(
        ended.stderr,
        "large.yaml: the file has more than 1024 KiB\n\nerror: 1 problem in large.yaml; nothing was touched\n"
    );
}

#[test]
fn small_files_are_good_files() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "",
        "{}\n",
        "# nothing\n",
        "---\n",
        "components:\nservices:\n",
        "\u{feff}target: local\r\n",
    ] {
        std::fs::write(folder.path().join("small.yaml"), text).unwrap();
        let ended = run(shopctl(folder.path()).args(["env", "validate", "small.yaml"]));
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (0, "small.yaml is valid\n"),
            "{text:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn help_teaches() {
    let folder = tempfile::tempdir().unwrap();
    let commands = [
        "up",
        "down",
        "status",
        "logs",
        "smoke",
        "report",
        "report list",
        "report show",
        "report compare",
        "report verify",
        "report publish",
        "image",
        "image pack",
        "render",
        "doctor",
        "env",
        "env show",
        "env validate",
        "env list",
        "env new",
        "env schema",
        "completions",
    ];
    let mut text = run(shopctl(folder.path()).arg("--help")).stdout;
    for command in commands {
        let ended = run(shopctl(folder.path())
            .args(command.split(' '))
            .arg("--help"));
        assert_eq!(ended.code, 0, "{command}");
        write!(text, "\n───── shopctl {command} --help\n{}", ended.stdout).unwrap();
    }
    assert_is(&text, &golden("help.txt"));
}

#[test]
fn wrong_usage_ends_with_2_and_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for line in [
        "stauts",
        "down --puge",
        "env",
        "env shw",
        "logs -n many",
        "render",
        "doctor --yes",
        "status -o yaml",
        "status -e",
        "completions tcsh",
        "up extra",
    ] {
        let ended = run(shopctl(folder.path()).args(line.split(' ')));
        assert_eq!(ended.code, 2, "{line}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{line}");
        writeln!(text, "$ shopctl {line}\n{}", ended.stderr).unwrap();
    }
    assert_is(&text, &golden("usage.txt"));
}

#[test]
fn environments_that_are_not_there_are_told_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder.yaml")).unwrap();
    let mut text = String::new();
    for line in [
        "-e locl status",
        "-e nowhere env show",
        "-e ./no.yaml up",
        "env validate folder.yaml",
        "env show -e ''",
    ] {
        let ended =
            run(shopctl(folder.path()).args(line.split(' ').map(|word| word.trim_matches('\''))));
        assert_eq!(ended.code, 2, "{line}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{line}");
        writeln!(text, "$ shopctl {line}\n{}", ended.stderr).unwrap();
    }
    assert_is(&text, &golden("lookup.txt"));
}

#[test]
fn an_environment_is_shown_complete_and_marked_where_the_file_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let file = "components:\n  redis:\n    replicas: 5\n    resources:\n      limits: { memory: 1Gi }\nseed:\n  \
                products:\n    - { sku: mug, name: \"Mug: the \\\"big\\\" one\", price: { amountMinor: 1490 } }\n";
    std::fs::write(folder.path().join("mine.yaml"), file).unwrap();
    let ended = run(shopctl(folder.path()).args(["env", "show", "mine.yaml", "--origin"]));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_is(&ended.stdout, &golden("show.yaml"));
}

#[test]
fn a_new_environment_is_a_good_file_and_never_takes_the_place_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let new = |name: &str, hosts: &[&str]| {
        run(shopctl(folder.path())
            .args(["env", "new", name])
            .args(hosts))
    };
    let made = new(
        "mine",
        &["--server", "me@192.0.2.10", "--agent", "node-2:2222"],
    );
    assert_eq!(made.code, 0, "{}", made.stderr);
    let path = folder.path().join("environments/mine.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let shown = run(shopctl(folder.path()).args(["env", "show", "mine", "-o", "json"])).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let host = |name: &str| &shown["hosts"][name];
    assert_eq!(
        (&host("node-1")["user"], &host("node-1")["role"]),
        (&"me".into(), &"server".into())
    );
    assert_eq!(
        (&host("node-2")["port"], &host("node-2")["role"]),
        (&2222.into(), &"agent".into())
    );
    let again = new("mine", &["--server", "other"]);
    assert_eq!(again.code, 2, "{}", again.stdout);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let wrong = new("two", &["--server", "a", "--server", "b"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stdout);
    assert!(!folder.path().join("environments/two.yaml").exists());
}

#[test]
fn what_is_shown_is_a_file_that_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run(shopctl(folder.path()).args(["env", "show"]));
    std::fs::write(folder.path().join("local.yaml"), &shown.stdout).unwrap();
    let json = |environment: &str| {
        run(shopctl(folder.path()).args(["env", "show", environment, "-o", "json"])).stdout
    };
    let again = json("./local.yaml");
    assert!(again.contains("postgres"), "{again}");
    assert_eq!(again, json("local"));
}

#[test]
fn files_on_disk_take_the_place_of_shipped_ones() {
    let folder = tempfile::tempdir().unwrap();
    let environments = folder.path().join("environments");
    std::fs::create_dir(&environments).unwrap();
    std::fs::write(environments.join("local.yaml"), "protected: true\n").unwrap();
    std::fs::write(environments.join("other.yaml"), "name: something\n").unwrap();
    std::fs::write(environments.join(".hidden.yaml"), "").unwrap();
    let listed = run(shopctl(folder.path()).args(["env", "list"]));
    assert_is(&listed.stdout, &golden("list.txt"));
    let shown = run(shopctl(folder.path()).args(["env", "show", "-o", "json"])).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["protected"], true);
    let other = run(shopctl(folder.path())
        .env("SHOPCTL_ENV", "other")
        .args(["env", "show", "-o", "json"]))
    .stdout;
    let other: serde_json::Value = serde_json::from_str(&other).unwrap();
    assert_eq!(other["name"], "something");
}

#[test]
fn a_broken_component_on_disk_is_told_like_a_broken_environment() {
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("templates/mail");
    std::fs::create_dir_all(&mail).unwrap();
    let component = "name: male\nabout: Sends mail.\nkind: servr\nafter: [postgrs]\nrun: mail\nports:\n  smtp: { \
                     first: 25, about: SMTP }\nstop: { signal: KILL }\n";
    std::fs::write(mail.join("component.yaml"), component).unwrap();
    let form = run(shopctl(folder.path()).args(["env", "validate"]));
    let component = "name: mail\nabout: Sends mail.\nkind: server\nafter: [postgrs]\nreplicas: 20\nrun: [mail]\nfiles:\n  - \
                     { template: mail.conf.j2, path: ../mail.conf }\nprobe: { kind: tcp, port: smtp }\nsettings:\n  size: \
                     { type: quantity, default: big, about: The largest mail. }\n";
    std::fs::write(mail.join("component.yaml"), component).unwrap();
    let sense = run(shopctl(folder.path()).args(["env", "validate"]));
    assert_eq!((form.code, sense.code), (2, 2));
    assert_is(
        &format!("{}\n{}", form.stderr, sense.stderr),
        &golden("component.txt"),
    );
}

#[test]
fn a_validation_is_answered_as_json_too() {
    let folder = tests().join("wrong");
    let ended = run(shopctl(&folder).args(["env", "validate", "unknown-field.yaml", "-o", "json"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (2, ""));
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answer["valid"], false);
    let problem = &answer["files"][0]["problems"][0];
    assert_eq!(
        (&problem["span"]["line"], &problem["span"]["column"]),
        (&3.into(), &5.into())
    );
    assert_eq!(problem["fix"], "did you mean `replicas`?");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_shopctl");
    let script =
        format!("set -o pipefail; for i in 1 2 3; do '{binary}' env schema | head -n 1; done");
    let ended = run(Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path()));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(ended.stdout, "{\n{\n{\n");
}

#[test]
fn the_version_names_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(shopctl(folder.path()).arg("--version"));
    let commit = ended
        .stdout
        .strip_prefix("shopctl 0.1.0 (")
        .unwrap()
        .strip_suffix(")\n")
        .unwrap();
    assert!(commit == "unknown" || commit.len() == 12, "{commit}");
}

#[test]
fn colors_are_for_terminals_and_for_those_who_ask() {
    let folder = tests().join("wrong");
    let wrong = ["env", "validate", "unknown-field.yaml"];
    let plain = run(shopctl(&folder).args(wrong)).stderr;
    let forced = run(shopctl(&folder).env("CLICOLOR_FORCE", "1").args(wrong)).stderr;
    let refused = run(shopctl(&folder)
        .env("CLICOLOR_FORCE", "1")
        .arg("--no-color")
        .args(wrong))
    .stderr;
    assert!(forced.contains("\u{1b}["), "{forced}");
    assert_eq!(plain, refused);
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn a_machine_without_redis_is_told_so_with_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(shopctl(folder.path()).env("PATH", folder.path()).args([
        "doctor",
        "-o",
        "json",
        "--state-dir",
        "state",
    ]));
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answer["ready"], false);
    let checks = answer["checks"].as_array().unwrap();
    let redis = checks
        .iter()
        .find(|check| check["name"] == "redis-server")
        .unwrap();
    assert_eq!(redis["outcome"], "missing");
    assert!(redis["fix"].is_string(), "{redis}");
    assert!(ended.stderr.contains("redis-server"), "{}", ended.stderr);
    assert!(
        !folder.path().join("state").exists(),
        "examining changes nothing"
    );
}

#[test]
fn shopctl_alone_says_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(shopctl(folder.path()).args(["--state-dir", "state"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert!(
        ended.stdout.contains("The shop `local` is not up."),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("  shopctl up "), "{}", ended.stdout);
}
