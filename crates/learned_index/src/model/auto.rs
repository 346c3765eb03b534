//! Training: the parameters of each model, and the model itself, by the cost of a lookup.

use super::cost::Sample;
use super::line::{Step, steps};
use super::rmi::Root;
use super::{Linear, Model, ModelChoice, ModelKind, Pgm, RadixSpline, Rmi};

/// Beyond this many fences candidates are trained on every so-many-th one, the winner on all.
const SAMPLED_ABOVE: usize = 1 << 18;
/// Error bounds tried, in positions.
const EPSILONS: [u32; 3] = [4, 8, 16];
/// Leaves of an RMI tried, as a right shift of the number of fences.
const LEAF_SHARES: [u32; 5] = [3, 4, 6, 8, 10];
/// The share of leaves by which the root is judged.
const ROOT_SHARE: u32 = 5;

/// A model and its parameter.
#[derive(Clone, Copy, Debug)]
enum Candidate {
    Linear,
    /// Leaves, as a right shift of the number of fences.
    Rmi(u32),
    /// Epsilon.
    Pgm(u32),
    /// Epsilon.
    RadixSpline(u32),
}

pub(super) fn train(choice: ModelChoice, fences: &[u64]) -> Model {
    let kinds: &[ModelKind] = match choice {
        ModelChoice::Auto => {
            &[ModelKind::Linear, ModelKind::Rmi, ModelKind::Pgm, ModelKind::RadixSpline]
        }
        ModelChoice::Linear => &[ModelKind::Linear],
        ModelChoice::Rmi => &[ModelKind::Rmi],
        ModelChoice::Pgm => &[ModelKind::Pgm],
        ModelChoice::RadixSpline => &[ModelKind::RadixSpline],
    };
    let model = if fences.len() > SAMPLED_ABOVE {
        let stride = fences.len().div_ceil(SAMPLED_ABOVE);
        let thinned: Vec<u64> = fences.iter().copied().step_by(stride).collect();
        let (winner, _) = cheapest(kinds, &thinned);
        Trainer::new(&steps(fences)).train(winner)
    } else {
        cheapest(kinds, fences).1
    };
    if model.fits_blob() { model } else { Model::Linear(Linear::train(&steps(fences))) }
}

/// The candidate with the least cost, the earlier of equals.
fn cheapest(kinds: &[ModelKind], fences: &[u64]) -> (Candidate, Model) {
    let steps = steps(fences);
    let sample = Sample::new(fences);
    let mut trainer = Trainer::new(&steps);
    let mut best: Option<(u64, Candidate, Model)> = None;
    for candidate in kinds.iter().flat_map(|kind| candidates(*kind)) {
        let model = trainer.train(candidate);
        let cost = sample.cost(&model);
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, candidate, model));
        }
    }
    match best {
        Some((_, candidate, model)) => (candidate, model),
        None => (Candidate::Linear, trainer.train(Candidate::Linear)),
    }
}

fn candidates(kind: ModelKind) -> Vec<Candidate> {
    match kind {
        ModelKind::Linear => vec![Candidate::Linear],
        ModelKind::Rmi => LEAF_SHARES.into_iter().map(Candidate::Rmi).collect(),
        ModelKind::Pgm => EPSILONS.into_iter().map(Candidate::Pgm).collect(),
        ModelKind::RadixSpline => EPSILONS.into_iter().map(Candidate::RadixSpline).collect(),
    }
}

/// The fences, and the RMI's root once it is known: it serves every number of leaves.
struct Trainer<'a> {
    steps: &'a [Step],
    root: Option<Root>,
}

impl<'a> Trainer<'a> {
    fn new(steps: &'a [Step]) -> Trainer<'a> {
        Trainer { steps, root: None }
    }

    fn train(&mut self, candidate: Candidate) -> Model {
        let steps = self.steps;
        let leaves = |share: u32| (steps.len() >> share).next_power_of_two();
        match candidate {
            Candidate::Linear => Model::Linear(Linear::train(steps)),
            Candidate::Rmi(share) => {
                let root = *self.root.get_or_insert_with(|| Root::train(steps, leaves(ROOT_SHARE)));
                Model::Rmi(Rmi::train(steps, root, leaves(share)))
            }
            Candidate::Pgm(epsilon) => Model::Pgm(Pgm::train(steps, epsilon)),
            Candidate::RadixSpline(epsilon) => {
                Model::RadixSpline(RadixSpline::train(steps, epsilon))
            }
        }
    }
}
