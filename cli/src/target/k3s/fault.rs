//! Breaks containers on purpose, and knows for certain whether it did.
//!
//! A container's processes are found and signaled on its host, past Kubernetes, as a crash would come.

use std::sync::Arc;
use std::time::Duration;

use crate::host::{Command, Host};
use crate::target::local::{Strike, Struck};

/// How long a host may take to find processes, or to signal them and to see what comes of it.
const ANSWER: Duration = Duration::from_secs(10);

/// Prints `pid@start` of the first process of a container.
const FIND: &str = r#"
for entry in $(grep -ls "$1" /proc/[0-9]*/cgroup); do
    pid=${entry#/proc/}; pid=${pid%/cgroup}
    grep -qs '^NSpid:.*[[:space:]]1$' "/proc/$pid/status" || continue
    start=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)
    [ -z "$start" ] || echo "$pid@$start"
done
"#;

/// Signals the first process of a container if it still is that, with STOP and CONT all others of the container too, and
/// waits until that is seen to have worked. Prints `STATE OTHERS STOPPED`: the state of the first process, `-` if it is
/// gone, how many others there are, and how many of these are stopped.
const STRIKE: &str = r#"
signal=$1 container=$2 pid=${3%@*} start=${3#*@}
look() {
    set -- $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f1,20)
    state=${1:--} began=${2:-}
}
look_at_first() { look "$pid"; [ "$began" = "$start" ] || state=-; }
others() {
    for entry in $(grep -ls "$container" /proc/[0-9]*/cgroup); do
        other=${entry#/proc/}; other=${other%/cgroup}
        [ "$other" = "$pid" ] || echo "$other"
    done
}
count() {
    all=0 stopped=0
    for other in $(others); do
        look "$other"
        case $state in - | Z | X) continue ;; T) stopped=$((stopped + 1)) ;; esac
        all=$((all + 1))
    done
}
signal_others() { for other in $(others); do kill -s "$signal" "$other" 2>/dev/null || :; done; }
look_at_first
[ "$state" != - ] || { echo "gone"; exit 0; }
[ "$signal" != CONT ] || signal_others
kill -s "$signal" "$pid" || exit 1
all=0 stopped=0 tries=0
while [ "$tries" -lt 100 ]; do
    tries=$((tries + 1))
    case $signal in
    KILL) look_at_first; case $state in - | Z | X) break ;; esac ;;
    STOP)
        look_at_first
        if [ "$state" = T ]; then
            signal_others
            count
            look_at_first
            [ "$all" != "$stopped" ] || break
        fi
        ;;
    CONT) count; look_at_first; [ "$stopped" != 0 ] || [ "$state" = T ] || break ;;
    esac
    sleep 0.02
done
echo "$state $all $stopped"
"#;

/// A container that is to be broken: its first process, and no other that may have its pid later.
#[derive(Clone)]
pub struct Container {
    host: Arc<dyn Host>,
    id: String,
    first: String,
}

impl Container {
    /// Finds a container's first process on its host; says why there is none.
    pub async fn find(host: Arc<dyn Host>, id: &str) -> Result<Self, String> {
        let command = Command::script(format!("find the processes of {id}"), FIND, [id]);
        let found = host
            .run_well(command.deadline(ANSWER).as_root())
            .await
            .map_err(|error| error.to_string())?
            .text();
        let mut lines = found.lines();
        match (lines.next(), lines.next()) {
            (Some(first), None) => Ok(Self {
                id: id.to_owned(),
                first: first.trim().to_owned(),
                host,
            }),
            (None, _) => Err(format!("no process of {id} runs on {}", host.name())),
            _ => Err(format!(
                "{id} has several first processes on {}",
                host.name()
            )),
        }
    }

    /// Does it to all of its processes, and says what came of it and how many there were besides the first.
    pub async fn strike(&self, strike: Strike) -> (Struck, u32) {
        let signal = match strike {
            Strike::Kill => "KILL",
            Strike::Stop => "STOP",
            Strike::Continue => "CONT",
        };
        let about = format!("send SIG{signal} to {}", self.id);
        let command = Command::script(about, STRIKE, [signal, &self.id, &self.first]);
        match self.host.run_well(command.deadline(ANSWER).as_root()).await {
            Ok(output) => self.read(strike, output.text().trim()),
            Err(error) => {
                let struck = Struck {
                    confirmed: false,
                    evidence: error.to_string(),
                };
                (struck, 0)
            }
        }
    }

    fn read(&self, strike: Strike, answer: &str) -> (Struck, u32) {
        let (pid, host) = (
            self.first.split('@').next().unwrap_or_default(),
            self.host.name(),
        );
        let mut words = answer.split_ascii_whitespace();
        let state = words.next().unwrap_or_default();
        let mut count = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let (others, stopped): (u32, u32) = (count(), count());
        let confirmed = match strike {
            Strike::Kill => matches!(state, "-" | "Z" | "X"),
            Strike::Stop => state == "T" && others == stopped,
            // Whoever was replaced meanwhile does not hang any more.
            Strike::Continue => {
                state == "gone" || !matches!(state, "-" | "Z" | "X" | "T") && stopped == 0
            }
        };
        let mut evidence = match state {
            "gone" => "the process had ended before".to_owned(),
            "-" => format!("/proc/{pid} of {host} is gone"),
            state => format!("/proc/{pid}/stat of {host} says state {state}"),
        };
        if strike != Strike::Kill && others > 0 {
            evidence = format!("{evidence}; of {others} others {stopped} are in state T");
        }
        let struck = Struck {
            confirmed,
            evidence,
        };
        (struck, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{HostSpec, LocalHost, NoPassword};

    async fn here() -> Arc<dyn Host> {
        let here = LocalHost::new(HostSpec::default(), &NoPassword).await;
        Arc::new(here.unwrap())
    }

    #[tokio::test]
    async fn a_container_that_is_not_there_is_said_so() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let refused = Container::find(here().await, id).await.err().unwrap();
        assert!(refused.contains("no process of"), "{refused}");
    }

    #[tokio::test]
    async fn a_blow_is_confirmed_by_what_the_kernel_says() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let known = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields = known.rsplit(") ").next().unwrap();
        let start = fields.split(' ').nth(19).unwrap();
        let container = Container {
            host: here().await,
            id: "no such control group".to_owned(),
            first: format!("{}@{start}", child.id()),
        };
        for strike in [Strike::Stop, Strike::Continue, Strike::Kill] {
            let (seen, _) = container.strike(strike).await;
            assert!(seen.confirmed, "{strike:?}: {seen:?}");
        }
        child.wait().unwrap();
        let (seen, _) = container.strike(Strike::Kill).await;
        assert!(!seen.confirmed, "{seen:?}");
        let another = Container {
            first: format!("{}@1", std::process::id()),
            ..container
        };
        assert!(!another.strike(Strike::Stop).await.0.confirmed);
    }
}
