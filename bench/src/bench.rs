//! The run: the server, what is asked for, and the figures so far.

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
    /// What was found.
    pub figures: Vec<Figure>,
}

impl Bench {
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
