//! Sorted runs in temporary files, which end with the transaction.

use std::ffi::c_void;

use learned_index::memory::Room;
use learned_index::sort::Spill;
use pgrx::prelude::*;

use crate::report::memory::require_reserve;

/// `SEEK_SET` of stdio.h.
const SEEK_SET: std::ffi::c_int = 0;

/// Temporary files of one build. They count against `temp_file_limit` and appear in
/// `pg_stat_database`; an error in between leaves them to the resource owner.
#[derive(Default)]
pub(crate) struct TemporaryRuns {
    files: Vec<Run>,
}

struct Run {
    file: *mut pg_sys::BufFile,
    reading: bool,
}

impl Spill for TemporaryRuns {
    fn create_run(&mut self) -> usize {
        self.files.make_room(1);
        // SAFETY: called inside a transaction, which owns the file.
        let file = unsafe { pg_sys::BufFileCreateTemp(false) };
        self.files.push(Run { file, reading: false });
        self.files.len() - 1
    }

    fn write(&mut self, run: usize, bytes: &[u8]) {
        check_for_interrupts!();
        require_reserve();
        let pointer: *const c_void = bytes.as_ptr().cast();
        // SAFETY: the file is open and the slice is valid; the core only reads it.
        unsafe { pg_sys::BufFileWrite(self.files[run].file, pointer as _, bytes.len()) };
    }

    fn read(&mut self, run: usize, bytes: &mut [u8]) {
        check_for_interrupts!();
        require_reserve();
        let run = &mut self.files[run];
        // SAFETY: the file is open and the slice is valid for writing.
        unsafe {
            if !run.reading {
                run.reading = true;
                if pg_sys::BufFileSeek(run.file, 0, 0, SEEK_SET) != 0 {
                    short_read();
                }
            }
            let pointer: *mut c_void = bytes.as_mut_ptr().cast();
            if pg_sys::BufFileRead(run.file, pointer, bytes.len()) != bytes.len() {
                short_read();
            }
        }
    }

    fn poll(&mut self) {
        check_for_interrupts!();
    }
}

fn short_read() -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_IO_ERROR,
        "could not read a sorted run of the index build from its temporary file"
    );
}

impl Drop for TemporaryRuns {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for run in &self.files {
                // SAFETY: the file is open and closed once.
                unsafe { pg_sys::BufFileClose(run.file) };
            }
        }
    }
}
