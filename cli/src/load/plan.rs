//! What is to be done: a profile of the environment, with what the command line says otherwise. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::{Environment, LoadKind, LoadObjectives, LoadProfile};
use crate::report::{Limit, Measure, limits};

/// How long a request under way may take to end after the load has ended.
pub(super) const GRACE: Duration = Duration::from_secs(15);
/// How long users wait for an answer: less than the above, so that every request has an outcome.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// In a flash sale everybody has the page open this long before the sale begins.
const OPENING: Duration = Duration::from_secs(2);
/// How long a login may take before one that is due has to wait for a user.
const SLOWEST_LOGIN_SECONDS: u32 = 4;
/// Every login costs a hash of a password, so few users are enough for all of them.
const MOST_LOGIN_VUS: u32 = 20;

/// What the command line says about a load.
#[derive(Clone, Debug, Default)]
pub struct LoadWish {
    /// The profile; none: `browse`.
    pub profile: Option<String>,
    /// How many users.
    pub vus: Option<u32>,
    /// How long.
    pub duration: Option<crate::value::Duration>,
    /// Requests a second that begin whatever the answers take.
    pub rate: Option<u32>,
    /// A script of the user's own.
    pub script: Option<PathBuf>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadPlan {
    /// The profile's name.
    pub name: String,
    /// What its users do.
    pub profile: LoadProfile,
    /// A script of the user's own, which takes the place of the profile's.
    pub script: Option<PathBuf>,
    /// Whether the command line says how many users there are; a user's own script says it itself otherwise.
    pub vus_wished: bool,
    /// Whether the command line says how long it lasts.
    pub duration_wished: bool,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// The environment has no such profile.
    #[error("failed to find the load profile `{name}`")]
    UnknownProfile {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A rate makes sense in an open model only.
    #[error("failed to plan the load: --rate is for profiles of kind `open`, and `{0}` is none")]
    RateOfClosed(String),
    /// A script says itself at which rate it asks.
    #[error("failed to plan the load: --rate says nothing to a script of one's own")]
    RateOfScript,
    /// Too short to measure anything.
    #[error("failed to plan the load: {0} is too short to measure anything")]
    TooShort(crate::value::Duration),
}

impl PlanError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownProfile { known, .. } => format!("the profiles are: {}", known.join(", ")),
            Self::RateOfClosed(_) => {
                "`--profile open --rate N` begins N requests a second; other profiles offer --vus users".to_owned()
            }
            Self::RateOfScript => "a script says its rate itself, for example with k6's constant-arrival-rate".to_owned(),
            Self::TooShort(_) => "let it last at least 1s".to_owned(),
        }
    }
}

impl LoadPlan {
    /// The plan of a wish.
    pub fn of(environment: &Environment, wish: &LoadWish) -> Result<Self, PlanError> {
        let name = wish.profile.as_deref().unwrap_or("browse");
        let profile =
            environment
                .load_profiles
                .get(name)
                .ok_or_else(|| PlanError::UnknownProfile {
                    name: name.to_owned(),
                    known: environment.load_profiles.keys().cloned().collect(),
                })?;
        let mut profile = profile.clone();
        if let Some(vus) = wish.vus {
            profile.vus = vus;
        }
        if let Some(duration) = wish.duration {
            profile.duration = duration;
        }
        if profile.duration.milliseconds() < 1_000 {
            return Err(PlanError::TooShort(profile.duration));
        }
        if wish.rate.is_some() && wish.script.is_some() {
            return Err(PlanError::RateOfScript);
        }
        if let Some(rate) = wish.rate {
            if profile.kind != LoadKind::Open {
                return Err(PlanError::RateOfClosed(name.to_owned()));
            }
            profile.rate = Some(rate);
        }
        let name = match &wish.script {
            Some(script) => script_name(script),
            None => name.to_owned(),
        };
        Ok(Self {
            name,
            profile,
            script: wish.script.clone(),
            vus_wished: wish.vus.is_some(),
            duration_wished: wish.duration.is_some(),
        })
    }

    /// How many of the users do nothing but log in.
    pub fn login_vus(&self) -> u32 {
        let profile = &self.profile;
        let logs_in = !matches!(profile.kind, LoadKind::FlashSale | LoadKind::Null);
        if logs_in && profile.logins_per_second > 0 && profile.vus > 1 {
            profile
                .logins_per_second
                .saturating_mul(SLOWEST_LOGIN_SECONDS)
                .min(MOST_LOGIN_VUS)
                .min(profile.vus.div_ceil(10))
        } else {
            0
        }
    }

    /// How long users of a flash sale look at the product before it begins.
    pub fn opening(&self) -> Duration {
        OPENING.min(self.profile.duration.to_std() / 4)
    }

    /// Whether its users can order.
    pub fn orders(&self) -> bool {
        self.script.is_some() || self.profile.kind != LoadKind::Null
    }

    /// What the shop is held to by this load, and why something is left out: a load that cannot reach a rate at all
    /// says nothing about whether the shop can.
    pub fn limits(&self, objectives: &LoadObjectives) -> (Vec<Limit>, Option<String>) {
        let mut kept = limits(objectives);
        if self.script.is_none() && self.profile.kind == LoadKind::Null {
            kept.retain(|limit| limit.measure == Measure::ErrorRatio);
            return (kept, None);
        }
        let wanted = objectives.minimum_requests_per_second;
        let offered = self.offered();
        let reason = match offered {
            Offered::AtMost(rate) if rate < wanted => Some(format!(
                "{} users offer at most {rate:.0} requests a second, so nothing is said about the {wanted:.0} that \
                 the environment asks for",
                self.profile.vus
            )),
            // In a burst everybody comes at the same moment and then thinks: no rate was asked for.
            Offered::AtMost(_) | Offered::Bursts => None,
        };
        if reason.is_some() || matches!(offered, Offered::Bursts) {
            kept.retain(|limit| limit.measure != Measure::RequestsPerSecond);
        }
        (kept, reason)
    }

    /// How many requests a second are offered at most, if every answer came at once.
    fn offered(&self) -> Offered {
        let profile = &self.profile;
        let think = profile.think_time.seconds();
        let logins = match self.login_vus() {
            0 => 0.0,
            _ => f64::from(profile.logins_per_second),
        };
        match profile.kind {
            // How much it asks for stands in the script.
            _ if self.script.is_some() => Offered::Bursts,
            LoadKind::FlashSale => Offered::Bursts,
            LoadKind::Open => Offered::AtMost(f64::from(profile.rate.unwrap_or(0)) + logins),
            _ if think <= 0.0 => Offered::AtMost(f64::INFINITY),
            _ => {
                let users = profile.vus - self.login_vus();
                Offered::AtMost(f64::from(users) / think + logins)
            }
        }
    }
}

/// What a script of the user's own is called in reports: no profile, whose figures would then not be its own.
fn script_name(script: &Path) -> String {
    let stem = script.file_stem().unwrap_or_default().to_string_lossy();
    let plain: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("script-{}", plain.trim_matches('-').to_lowercase())
        .trim_end_matches('-')
        .to_owned()
}

#[derive(Clone, Copy)]
enum Offered {
    AtMost(f64),
    Bursts,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Duration as Lasts;

    fn profile(kind: LoadKind, vus: u32) -> LoadProfile {
        LoadProfile {
            kind,
            vus,
            duration: Lasts::from_seconds(60),
            rate: (kind == LoadKind::Open).then_some(1_000),
            think_time: Lasts::from_milliseconds(500),
            logins_per_second: 5,
            stock: 100,
        }
    }

    fn plan(kind: LoadKind, vus: u32) -> LoadPlan {
        LoadPlan {
            name: "test".to_owned(),
            profile: profile(kind, vus),
            script: None,
            vus_wished: false,
            duration_wished: false,
        }
    }

    fn judges_the_rate(plan: &LoadPlan) -> bool {
        let (limits, reason) = plan.limits(&LoadObjectives::default());
        let judged = limits
            .iter()
            .any(|limit| limit.measure == Measure::RequestsPerSecond);
        assert!(!judged || reason.is_none());
        judged
    }

    #[test]
    fn a_rate_that_the_users_cannot_reach_is_not_judged_and_it_is_said_why() {
        assert!(judges_the_rate(&plan(LoadKind::Browse, 1_000)));
        let few = plan(LoadKind::Browse, 400);
        assert!(!judges_the_rate(&few));
        let (_, reason) = few.limits(&LoadObjectives::default());
        assert!(reason.unwrap().contains("at most 765 requests a second"));
    }

    #[test]
    fn an_open_load_is_judged_by_what_it_begins_and_a_storm_by_no_rate_at_all() {
        assert!(judges_the_rate(&plan(LoadKind::Open, 10)));
        let mut slow = plan(LoadKind::Open, 10_000);
        slow.profile.rate = Some(100);
        assert!(!judges_the_rate(&slow));
        assert!(!judges_the_rate(&plan(LoadKind::FlashSale, 10_000)));
    }

    #[test]
    fn asking_for_nothing_is_held_to_nothing_but_answers() {
        let (limits, _) = plan(LoadKind::Null, 1_000).limits(&LoadObjectives::default());
        assert_eq!(limits.len(), 1);
        assert_eq!(limits[0].measure, Measure::ErrorRatio);
        assert!(!plan(LoadKind::Null, 1_000).orders());
    }

    #[test]
    fn a_script_of_ones_own_is_no_profile_and_says_itself_how_much_it_asks_for() {
        assert_eq!(
            script_name(Path::new("dir/My Script.js")),
            "script-my-script"
        );
        assert_eq!(script_name(Path::new("ä")), "script");
        let mut own = plan(LoadKind::Browse, 1_000);
        own.script = Some("own.js".into());
        assert!(!judges_the_rate(&own));
    }

    #[test]
    fn a_few_of_the_users_do_the_logins() {
        assert_eq!(plan(LoadKind::Browse, 1_000).login_vus(), 20);
        assert_eq!(plan(LoadKind::Browse, 20).login_vus(), 2);
        assert_eq!(plan(LoadKind::Browse, 1).login_vus(), 0);
        assert_eq!(plan(LoadKind::FlashSale, 1_000).login_vus(), 0);
    }
}
