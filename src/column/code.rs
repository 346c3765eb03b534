//! The codes of an index's keys as Rust types: a word for one column whose values have codes of 64
//! bits, and several words for everything else. There are types of 1, 2, 4 and 8 words; a key gets
//! the narrowest that has room for it.

use learned_index::key::{Code, Word};

use super::columns::Columns;
use super::{Column, KeyColumns};

/// A code that an index can have.
pub(crate) trait IndexCode: Code {
    /// How keys become such codes.
    type Columns: KeyColumns<Self>;

    /// Its words.
    fn words(&self) -> &[Word];
}

impl IndexCode for Word {
    type Columns = Column;

    #[inline(always)]
    fn words(&self) -> &[Word] {
        std::slice::from_ref(self)
    }
}

impl<const L: usize> IndexCode for [Word; L] {
    type Columns = Columns<L>;

    #[inline(always)]
    fn words(&self) -> &[Word] {
        self
    }
}

/// Runs code in which a name stands for the type of an index's codes.
macro_rules! with_code {
    ($index:expr, $code:ident => $body:expr) => {
        match $crate::column::words_of($index) {
            1 => {
                type $code = learned_index::key::Word;
                $body
            }
            2 => {
                type $code = [learned_index::key::Word; 2];
                $body
            }
            3 | 4 => {
                type $code = [learned_index::key::Word; 4];
                $body
            }
            _ => {
                type $code = [learned_index::key::Word; 8];
                $body
            }
        }
    };
}
pub(crate) use with_code;
