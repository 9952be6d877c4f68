//! A file a command: each wires the modules below together and holds no logic of its own.

mod completions;
mod doctor;
mod down;
mod drill;
mod env;
mod env_new;
mod image;
mod k3s;
mod loadtest;
mod logs;
mod overview;
mod plan;
mod render;
mod report;
mod secrets;
mod smoke;
mod status;
mod supervise;
mod target;
mod up;

use std::path::PathBuf;

use crate::args::{Command, Global};
use crate::interrupt::Interrupt;
use crate::project::{Loaded, Project, ProjectError};
use crate::ui::{ExitCode, Failure, Ui, UiOptions};

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    /// The user.
    pub ui: Ui,
    /// The environment that was asked for: a name or a path.
    pub environment: String,
    /// The state folder that was asked for.
    pub state_dir: Option<PathBuf>,
}

impl Context {
    /// The context of a command line.
    pub fn new(global: &Global) -> Self {
        Self {
            ui: Ui::new(UiOptions {
                output: global.output.into(),
                quiet: global.quiet,
                no_color: global.no_color,
            }),
            environment: global.environment.clone(),
            state_dir: global.state_dir.clone(),
        }
    }
}

impl Context {
    /// Reads the environment that was asked for, with the catalogue.
    pub fn load(&self) -> Result<Loaded, Failure> {
        Project::here()
            .load(&self.environment)
            .map_err(project_failure)
    }
}

/// What a user is told when there is no environment or no catalogue.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub fn project_failure(error: ProjectError) -> Failure {
    match &error {
        ProjectError::Invalid(files) => Failure::of_files(files),
        ProjectError::UnknownName { known, meant, name } => {
            let failure = Failure::of(&error).exit(ExitCode::Usage);
            let failure = match meant {
                Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
                None => failure,
            };
            failure
                .hint(format!("the environments are: {}", known.join(", ")))
                .hint(format!("a file is named by its path: -e ./{name}.yaml"))
        }
        ProjectError::NoFile { .. } => Failure::of(&error)
            .exit(ExitCode::Usage)
            .hint("`shopctl env list` shows the environments that there are"),
        ProjectError::NotAFile { .. } => Failure::of(&error).exit(ExitCode::Usage),
        ProjectError::Read { .. } => Failure::of(&error)
            .exit(ExitCode::Usage)
            .hint("check that the file may be read by this user"),
    }
}

/// Runs a command.
pub fn dispatch(command: Option<Command>, context: &Context) -> Result<(), Failure> {
    match command {
        None => overview::run(context),
        Some(Command::Up(args)) => up::run(&args, context),
        Some(Command::Down(args)) => down::run(&args, context),
        Some(Command::Plan) => plan::run(context),
        Some(Command::Status(args)) => status::run(&args, context),
        Some(Command::Logs(args)) => logs::run(&args, context),
        Some(Command::Smoke(args)) => smoke::run(&args, context),
        Some(Command::Loadtest(args)) => loadtest::run(&args, context),
        Some(Command::FailoverDrill(args)) => drill::run(&args, context),
        Some(Command::Secrets(command)) => secrets::run(&command, context),
        Some(Command::Report(args)) => report::run(&args, context),
        Some(Command::Render(args)) => render::run(&args, context),
        Some(Command::Image(command)) => image::run(&command, context),
        Some(Command::Doctor(args)) => doctor::run(&args, context),
        Some(Command::Env(command)) => env::run(&command, context),
        Some(Command::Completions(args)) => completions::run(&args, context),
        Some(Command::Supervise(args)) => supervise::run(&args, context),
    }
}

/// Runs what is asynchronous of a command, on this thread, and drops it at the second Ctrl-C. `given_up` is what its
/// user is told then: what may be half done, and what brings it in order.
pub fn block_on_interruptible<T, W>(
    work: impl FnOnce(Interrupt) -> W,
    given_up: impl FnOnce() -> Failure,
) -> Result<T, Failure>
where
    W: Future<Output = Result<T, Failure>>,
{
    block_on(async {
        let interrupt = Interrupt::watch();
        tokio::select! {
            outcome = work(interrupt.clone()) => outcome,
            () = interrupt.insisted() => Err(given_up()),
        }
    })
}

/// Runs what is asynchronous of a command, on this thread.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("failed to start the runtime").cause(error.to_string()))?
        .block_on(work)
}
