//! Who holds ports that a shop needs: each holder named once with all its ports, and the way past it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::marker::Marker;
use super::ports::{Listener, listeners};
use crate::catalogue::ComponentKind;

/// What a port is needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortUse {
    /// The component.
    pub component: String,
    /// Where it stands in the environment file.
    pub kind: ComponentKind,
    /// The instance, or the component if its instances share the port.
    pub instance: String,
    /// The port's name.
    pub name: String,
}

impl PortUse {
    /// The setting that chooses the port.
    fn setting(&self) -> String {
        let section = match self.kind {
            ComponentKind::Service => "services",
            ComponentKind::Server | ComponentKind::Tool => "components",
        };
        format!("{section}.{}.ports.{}", self.component, self.name)
    }
}

/// Ports that one holder has and this shop needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupied {
    /// The ports.
    pub ports: Vec<u16>,
    /// Which, what for, and who has them: a sentence without a full stop.
    pub what: String,
    /// How to get past it.
    pub hint: String,
}

/// Everybody who holds ports that are wanted. `ours` are the processes of this shop.
pub fn occupied(wanted: &BTreeMap<u16, PortUse>, ours: &[i32]) -> Vec<Occupied> {
    let ports: Vec<u16> = wanted.keys().copied().collect();
    let mut by_holder: BTreeMap<Holder, Vec<u16>> = BTreeMap::new();
    for listener in listeners(&ports) {
        if !listener.pid.is_some_and(|pid| ours.contains(&pid)) {
            let ports = by_holder.entry(Holder::of(&listener)).or_default();
            if !ports.contains(&listener.port) {
                ports.push(listener.port);
            }
        }
    }
    by_holder
        .into_iter()
        .map(|(holder, ports)| tell(&holder, ports, wanted))
        .collect()
}

/// Who listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// Another shop of ours: its processes are one holder.
    Shop {
        environment: String,
        state: PathBuf,
        file: Option<PathBuf>,
    },
    Process {
        pid: i32,
        command: Option<String>,
    },
    /// What this user may not see.
    Unknown,
}

impl Holder {
    fn of(listener: &Listener) -> Self {
        let Some(pid) = listener.pid else {
            return Self::Unknown;
        };
        match shop_of(pid) {
            Some((state, marker)) => Self::Shop {
                environment: marker.environment,
                state,
                file: marker.file,
            },
            None => Self::Process {
                pid,
                command: listener.command.clone(),
            },
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Shop {
                environment, state, ..
            } => format!("the shop `{environment}` in {}", state.display()),
            Self::Process {
                pid,
                command: Some(command),
            } => format!("process {pid} (`{command}`)"),
            Self::Process { pid, command: None } => format!("process {pid}"),
            Self::Unknown => "a process of another user".to_owned(),
        }
    }

    /// How it is stopped. Whose a process is and what for, its owner knows: nobody is told to kill it.
    fn stop(&self) -> String {
        match self {
            Self::Shop {
                environment,
                state,
                file,
            } => {
                let wanted = file
                    .as_ref()
                    .map_or_else(|| environment.clone(), |file| file.display().to_string());
                format!(
                    "stop it with `shopctl down -e {wanted} --state-dir {}`",
                    state.display()
                )
            }
            Self::Process { .. } | Self::Unknown => "stop it".to_owned(),
        }
    }
}

/// The shop whose instance a process is: instances work in the state folder.
fn shop_of(pid: i32) -> Option<(PathBuf, Marker)> {
    let working = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    working
        .ancestors()
        .filter(|folder| *folder != Path::new("/"))
        .find_map(|folder| Some((folder.to_owned(), Marker::read(folder).ok()??)))
}

fn tell(holder: &Holder, ports: Vec<u16>, wanted: &BTreeMap<u16, PortUse>) -> Occupied {
    let uses: Vec<(u16, &PortUse)> = ports
        .iter()
        .filter_map(|port| Some((*port, wanted.get(port)?)))
        .collect();
    let what = match uses.as_slice() {
        [(port, only)] => format!(
            "port {port}, which {} needs, is held by {}",
            only.instance,
            holder.name()
        ),
        several => format!(
            "{} ports are held by {}: {}",
            several.len(),
            holder.name(),
            list(several)
        ),
    };
    let settings: Vec<String> = uses.iter().map(|(_, port)| port.setting()).collect();
    let choose = match settings.split_first() {
        Some((first, rest)) if rest.iter().any(|other| other != first) => {
            format!("`{first}` and the like")
        }
        Some((first, _)) => format!("`{first}`"),
        None => "`ports`".to_owned(),
    };
    Occupied {
        hint: format!(
            "{}, or choose other ports with {choose} in the environment file",
            holder.stop()
        ),
        ports,
        what,
    }
}

/// `gateway 8080, 18050-18051; redis 16379-16381`.
fn list(uses: &[(u16, &PortUse)]) -> String {
    let mut by_component: Vec<(&str, Vec<u16>)> = Vec::new();
    for (port, port_use) in uses {
        let component = port_use.component.as_str();
        match by_component.iter_mut().find(|(name, _)| *name == component) {
            Some((_, ports)) => ports.push(*port),
            None => by_component.push((component, vec![*port])),
        }
    }
    by_component
        .iter()
        .map(|(component, ports)| format!("{component} {}", ranges(ports)))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Numbers in rising order, those in a row as a range.
fn ranges(ports: &[u16]) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*port) => *last = *port,
            _ => ranges.push((*port, *port)),
        }
    }
    ranges
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn port_use(component: &str, instance: &str) -> PortUse {
        PortUse {
            component: component.to_owned(),
            kind: ComponentKind::Service,
            instance: instance.to_owned(),
            name: "http".to_owned(),
        }
    }

    #[test]
    fn a_holder_of_several_ports_is_named_once_and_nobody_is_told_to_kill_it() {
        let sockets: Vec<TcpListener> = (0..2)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
        let wanted = BTreeMap::from([
            (port(&sockets[0]), port_use("order", "order-0")),
            (port(&sockets[1]), port_use("echo", "echo-0")),
        ]);
        let found = occupied(&wanted, &[]);
        let [only] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(only.ports.len(), 2);
        let own = format!("2 ports are held by process {} (`", std::process::id());
        assert!(only.what.starts_with(&own), "{}", only.what);
        assert!(only.what.contains(&format!("order {}", port(&sockets[0]))));
        assert!(
            only.hint.contains("ports.http` and the like"),
            "{}",
            only.hint
        );
        assert!(!only.hint.contains("kill"), "{}", only.hint);
    }

    #[test]
    fn ports_in_a_row_are_a_range() {
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8]), "1-3, 5, 7-8");
        assert_eq!(ranges(&[u16::MAX]), "65535");
    }
}
