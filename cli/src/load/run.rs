//! A load test from its beginning to its end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::error::LoadError;
use super::generator::{Expected, Start, WayIn, private_folder};
use super::lock::LoadLock;
use super::machine;
use super::plan::LoadPlan;
use super::script;
use super::stage::{Stage, TAG_PREFIX};
use crate::catalogue::Catalogue;
use crate::doctor::find_tool;
use crate::environment::Environment;
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::report::{LoadAverage, LoadFacts, Samples};
use crate::shop::test_data::{self, TestDataLeft};
use crate::shop::{Auditor, Request, Shop};
use crate::target::local::LocalFolder;

/// How long a service that is away is waited for, and how long the orders of a long test may take to be removed.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(30);

/// What a load test is made from.
pub struct LoadTest<'a> {
    /// The environment.
    pub environment: &'a Environment,
    /// The components: where k6 is declared, and the scripts' templates.
    pub catalogue: &'a Catalogue,
    /// Where the shop's state is.
    pub folder: &'a LocalFolder,
    /// The shop.
    pub shop: &'a Shop,
    /// How k6 finds it.
    pub way: WayIn<'a>,
    /// Its books.
    pub auditor: &'a Auditor,
    /// What is to be done.
    pub plan: &'a LoadPlan,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// When it is to end before its time.
    pub interrupt: &'a Interrupt,
}

/// What a load test brought.
pub struct LoadOutcome {
    /// What ran where.
    pub facts: LoadFacts,
    /// What was measured.
    pub samples: Samples,
    /// k6's own summary.
    pub summary: Option<Vec<u8>>,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

/// The k6 that will be used.
pub(crate) struct Tool {
    path: PathBuf,
    /// What it says that it is.
    pub(super) version: Option<String>,
}

/// Finds k6; an error if there is none that will do.
pub(crate) fn find_k6(catalogue: &Catalogue) -> Result<Tool, LoadError> {
    let programs = catalogue
        .get(script::COMPONENT)
        .map(|component| component.programs.as_slice());
    let Some([program, ..]) = programs else {
        return Err(LoadError::NoGenerator(format!(
            "templates/{}/component.yaml names no program",
            script::COMPONENT
        )));
    };
    let minimum = program.minimum.as_deref().unwrap_or("any");
    match find_tool(program, None) {
        Some(found) if found.suits(program, None) => Ok(Tool {
            path: found.path,
            version: found.version,
        }),
        Some(found) => Err(LoadError::NoGenerator(format!(
            "{} is version {}, and {minimum} or newer is needed",
            found.path.display(),
            found.version.as_deref().unwrap_or("unknown"),
        ))),
        None => Err(LoadError::NoGenerator(format!(
            "{} is not installed",
            program.name
        ))),
    }
}

/// Where a test takes place.
pub(super) struct Scene<'a> {
    /// The k6 that is used.
    pub(super) tool: &'a Tool,
    /// A folder that nobody else uses.
    pub(super) work: &'a Path,
    /// The report's name.
    pub(super) id: &'a str,
    /// How busy the machine was before anything was done.
    pub(super) before: LoadAverage,
}

impl LoadTest<'_> {
    /// Whether all is there that the test needs: a k6 that will do, and a shop that answers. Touches nothing.
    pub async fn check(&self) -> Result<(), LoadError> {
        if let Some(script) = &self.plan.script {
            std::fs::read(script).map_err(|source| LoadError::NoScript {
                path: script.clone(),
                source,
            })?;
        }
        find_k6(self.catalogue)?;
        self.is_up().await
    }

    /// Loads the shop, for the report of this name. Ctrl-C ends the load before its time, and the outcome is given all
    /// the same.
    pub async fn run(&self, id: &str) -> Result<LoadOutcome, LoadError> {
        let tool = find_k6(self.catalogue)?;
        let lock = LoadLock::take(&self.folder.state_dir().join("loadtest.lock"))?;
        let work = self.folder.state_dir().join("loadtest");
        // What a killed test left behind: nobody else has the lock.
        let _ = std::fs::remove_dir_all(&work);
        let outcome = match private_folder(&work) {
            Ok(()) => {
                self.staged(&Scene {
                    tool: &tool,
                    work: &work,
                    id,
                    before: machine::load_average(),
                })
                .await
            }
            Err(error) => Err(error),
        };
        // The tokens in it are worth nothing once their customers are gone, and still nobody's business.
        let _ = std::fs::remove_dir_all(&work);
        drop(lock);
        outcome
    }

    async fn is_up(&self) -> Result<(), LoadError> {
        let request = Request::get("/");
        let answered = match self.shop.ask(&request).await {
            Ok(answer) => {
                test_data::expect("find the shop", &request, &answer, reqwest::StatusCode::OK)
            }
            Err(error) => Err(error),
        };
        answered.map_err(|source| LoadError::Down {
            url: self.shop.url().to_owned(),
            source,
        })
    }

    async fn staged(&self, scene: &Scene<'_>) -> Result<LoadOutcome, LoadError> {
        let issuer = self.shop.issuer().map_err(LoadError::Stage)?;
        let expected = self.expected(scene).await?;
        self.sweep().await?;
        let mut stage = Stage::new(self.plan, expected, &issuer);
        let outcome = self.on(&mut stage, scene, expected).await;
        let step = "remove the test data";
        self.observer.started(step);
        match self.remove(&stage.tag, stage.admin()).await {
            Ok(()) => self.observer.done(step, true),
            Err(error) => self.observer.failed(step, error.to_string()),
        }
        outcome
    }

    /// Removes everything of a tag.
    async fn remove(&self, tag: &str, admin: &str) -> Result<(), TestDataLeft> {
        let deadline = Instant::now() + REMOVAL_PATIENCE;
        test_data::remove(tag, admin, deadline, async |request: &Request<'_>| {
            self.shop.ask(request).await
        })
        .await
    }

    /// Removes what tests left that were killed: nobody else loads this shop now.
    async fn sweep(&self) -> Result<(), LoadError> {
        let abandoned = self.auditor.tags(TAG_PREFIX).await?;
        if abandoned.is_empty() {
            return Ok(());
        }
        let step = "remove what killed load tests left";
        self.observer.started(step);
        let caretaker = self
            .shop
            .token(uuid::Uuid::now_v7(), shop_token::Role::Admin, None)
            .map_err(LoadError::Stage)?;
        for tag in &abandoned {
            if let Err(error) = self.remove(tag, &caretaker).await {
                self.observer.failed(step, error.to_string());
                return Ok(());
            }
        }
        self.observer.done(step, true);
        Ok(())
    }

    /// What the load will be like. A script of the user's own is asked, with data of the same form as it will find: so
    /// a script that k6 refuses is known before anything is made for it.
    async fn expected(&self, scene: &Scene<'_>) -> Result<Expected, LoadError> {
        if self.plan.script.is_none() {
            return Ok(Expected {
                lasts: self.plan.profile.duration.to_std(),
                vus: self.plan.profile.vus,
            });
        }
        let script = script::rehearse(self.plan, self.catalogue.templates(), scene.work)?;
        let start = self.start(&script.path, scene);
        tokio::select! {
            expected = start.inspect() => expected,
            () = self.interrupt.pressed() => Err(LoadError::Interrupted),
        }
    }

    fn start<'a>(&'a self, script: &'a Path, scene: &Scene<'a>) -> Start<'a> {
        Start {
            program: &scene.tool.path,
            script,
            folder: scene.work,
            plan: self.plan,
            way: self.way,
        }
    }

    async fn on(
        &self,
        stage: &mut Stage,
        scene: &Scene<'_>,
        expected: Expected,
    ) -> Result<LoadOutcome, LoadError> {
        let step = "make customers and products";
        self.observer.started(step);
        let set = tokio::select! {
            set = stage.set(self.plan, self.shop) => set.map_err(LoadError::Stage),
            () = self.interrupt.pressed() => Err(LoadError::Interrupted),
        };
        set.inspect_err(|error| self.observer.failed(step, error.to_string()))?;
        self.observer.done(step, true);
        let script = script::write(self.plan, stage, self.catalogue.templates(), scene.work)?;
        if self.interrupt.is_pressed() {
            return Err(LoadError::Interrupted);
        }
        let ran = self
            .load(&self.start(&script.path, scene), stage, expected.lasts)
            .await?;
        Ok(self.conclude(ran, stage, &script, scene, expected).await)
    }
}
