//! The run: the server, what is asked for, and the figures so far.

use std::process::Command;

use postgres::Client;

use crate::Result;
use crate::options::Options;
use crate::result::Figure;
use crate::server::Server;

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
}

impl Bench {
    /// A run that begins.
    pub fn new(options: Options) -> Result<Self> {
        let (figures, failures) = (Vec::new(), Vec::new());
        let commit = commit();
        Ok(Self { server: Server::start()?, options, commit, figures, failures })
    }

    /// Measures one thing. Where that fails the rest of a long run is not lost: it goes on with a new server.
    pub fn attempt(
        &mut self,
        what: &str,
        measure: impl FnOnce(&mut Bench) -> Result<()>,
    ) -> Result<()> {
        if let Err(error) = measure(self) {
            // A database's own message is the cause of the error that the client has.
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("{what}: failed: {error}{cause}");
            self.failures.push(format!("{what}: {error}{cause}"));
            self.server = Server::start()?;
        }
        Ok(())
    }

    /// A connection for a workload.
    pub fn connect(&self) -> Result<Client> {
        self.server.connect()
    }

    /// Keeps a figure, and says it.
    pub fn add(&mut self, figure: Figure) {
        let Figure { group, data, what, unit, against, theirs, ours, ratio, low, high, .. } =
            &figure;
        println!(
            "{group}: {data}: {what}: {against} {theirs:.3}, learned {ours:.3} {unit}, \
            ratio {ratio:.2} ({low:.2} to {high:.2})"
        );
        self.figures.push(figure);
    }
}

fn commit() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    match described {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
