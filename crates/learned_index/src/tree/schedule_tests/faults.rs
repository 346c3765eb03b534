//! The protocol with one step of it left out or done wrong: some schedule must fail.
