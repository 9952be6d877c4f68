//! A command as a probe: exit code 0 is ready, everything else is no answer.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use nix::unistd::{Gid, Uid};
use tokio::process::Command;

use crate::supervisor::health::Answer;
use crate::supervisor::spawn;
use crate::supervisor::spec::{InstanceSpec, RunAs};

/// So much of what the command says goes into `status`.
const DETAIL_MAXIMUM: usize = 300;

/// Runs the command with the instance's user, folder and environment. It is killed when this is dropped.
pub(super) async fn ask(instance: &InstanceSpec, command: &[String]) -> Answer {
    let Some((program, arguments)) = command.split_first() else {
        return Answer::Silent {
            detail: "the probe has no command".to_owned(),
        };
    };
    let mut process = std::process::Command::new(program);
    process
        .args(arguments)
        .env_clear()
        .envs(&instance.environment)
        .current_dir(&instance.working_dir)
        .process_group(0);
    enter_as(&mut process, instance.user);
    let mut process = Command::from(process);
    process
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match process.output().await {
        Ok(output) if output.status.success() => Answer::Ready {
            role: None,
            detail: None,
        },
        Ok(output) => {
            let said = [output.stderr, output.stdout].concat();
            let said: String = String::from_utf8_lossy(&said)
                .trim()
                .chars()
                .take(DETAIL_MAXIMUM)
                .collect();
            Answer::Silent {
                detail: format!("{program}: {}: {said}", output.status),
            }
        }
        Err(error) => Answer::Silent {
            detail: format!("failed to run {program}: {error}"),
        },
    }
}

#[allow(
    unsafe_code,
    reason = "the groups of a child can only be dropped between fork and exec"
)]
fn enter_as(command: &mut std::process::Command, user: Option<RunAs>) {
    // SAFETY: only system calls on copied numbers are made in the child.
    unsafe {
        command.pre_exec(move || {
            spawn::reset_signals()?;
            if let Some(user) = user {
                let group = Gid::from_raw(user.gid);
                nix::unistd::setgroups(&[group])?;
                nix::unistd::setgid(group)?;
                nix::unistd::setuid(Uid::from_raw(user.uid))?;
            }
            spawn::close_on_exec_from(3);
            Ok(())
        });
    }
}
