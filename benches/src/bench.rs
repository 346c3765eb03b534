//! The run: the server, what is asked for, and the figures so far.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use postgres::Client;

use crate::Result;
use crate::options::Options;
use crate::result::Figure;
use crate::server::Server;

/// Measures something, and adds its figures.
pub type Measure = fn(&mut Bench) -> Result<()>;

/// A part of a run, which may fail without the others: its name, and what measures it.
pub type Step = (String, Box<dyn FnOnce(&mut Bench) -> Result<()>>);

/// One run of the benchmark.
pub struct Bench {
    /// The server that is measured.
    pub server: Server,
    /// What is asked for.
    pub options: Options,
    /// The commit of the repository when it began; "-dirty" where files had changes.
    pub commit: String,
    /// What was found.
    pub figures: Vec<Figure>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
    progress: ProgressBar,
}

impl Bench {
    /// Begins a run of `steps` steps.
    pub fn new(options: Options, steps: usize) -> Result<Self> {
        if steps == 0 {
            return Err("the options leave nothing to measure".into());
        }
        let (figures, failures) = (Vec::new(), Vec::new());
        let (commit, progress) = (commit(), progress(steps)?);
        Ok(Self { server: Server::start()?, options, commit, figures, failures, progress })
    }

    /// Runs a step. Where it fails, the rest of a long run is not lost: a new server starts.
    pub fn run(&mut self, (name, measure): Step) -> Result<()> {
        self.progress.set_message(name.clone());
        let measured = catch_unwind(AssertUnwindSafe(|| measure(self)));
        if let Err(error) =
            measured.unwrap_or_else(|_| Err("a panic, with its message above".into()))
        {
            // A database's own message is the cause of the error that the client has.
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            self.progress.suspend(|| eprintln!("{name}: failed: {error}{cause}"));
            self.failures.push(format!("{name}: {error}{cause}"));
            self.server = Server::start()?;
        }
        self.progress.inc(1);
        // By the mean of all steps so far: they differ too much for the last ones to tell.
        let (done, all) = (self.progress.position(), self.progress.length().unwrap_or(0));
        let left = self.progress.elapsed().mul_f64((all - done) as f64 / done as f64);
        self.progress.set_prefix(format!("about {} left", HumanDuration(left)));
        Ok(())
    }

    /// Ends the run; an error where something could not be measured.
    pub fn finish(self) -> Result<()> {
        self.progress.finish_and_clear();
        println!("measured in {} seconds", self.progress.elapsed().as_secs());
        match self.failures.len() {
            0 => Ok(()),
            n => Err(format!("{n} could not be measured: {}", self.failures.join("; ")).into()),
        }
    }

    /// A connection for a workload.
    pub fn connect(&self) -> Result<Client> {
        self.server.connect()
    }

    /// Keeps a figure, and says it.
    pub fn add(&mut self, figure: Figure) {
        let Figure { group, data, what, unit, against, theirs, ours, ratio, low, high, .. } =
            &figure;
        self.progress.suspend(|| {
            println!(
                "{group}: {data}: {what}: {against} {theirs:.3}, learned {ours:.3} {unit}, \
                ratio {ratio:.2} ({low:.2} to {high:.2})"
            );
        });
        self.figures.push(figure);
    }
}

/// A line on a terminal that shows how far a run is; nothing where standard error is no terminal.
fn progress(steps: usize) -> Result<ProgressBar> {
    let template = "[{elapsed_precise}] {wide_bar} {pos} of {len} done, {prefix}; now {msg}";
    let style = ProgressStyle::with_template(template)?;
    let progress = ProgressBar::new(steps as u64).with_style(style);
    progress.set_prefix("time left unknown");
    progress.set_message("a server starts");
    progress.enable_steady_tick(Duration::from_secs(1));
    Ok(progress)
}

/// The commit that is measured.
pub fn commit() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let described = described.ok().filter(|output| output.status.success());
    described.map_or("unknown".to_owned(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
