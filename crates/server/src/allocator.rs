//! mimalloc, and how many bytes are in use of it.
//!
//! The system knows what the process holds, which falls only when whole pages are free. `maxmemory` must see that keys have
//! gone as soon as they have, so each allocation is counted, by the size of the block that the allocator takes for it.
//! A thread counts for itself, and tells the others now and then: no allocation touches what threads share. What the program
//! itself takes (its code) is no block, and comes on top.
//!
//! This is within a tenth of what the process holds only without huge pages, which main.rs switches off: with them, whatever is
//! used of a block of two megabytes, all of it is held.

#![allow(unsafe_code, reason = "an allocator that counts what another one does: the trait is unsafe")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use mimalloc::MiMalloc;

/// A thread keeps so many bytes for itself before it tells.
const TELL_BYTES: i64 = 16 << 10;
/// Blocks above this are whole pages of the system.
const PAGE_BYTES: usize = 4 << 10;
/// From this size on mimalloc takes those; below, blocks of a few sizes.
const LARGE_BYTES: usize = 128 << 10;

/// What all threads have told.
static TOLD: AtomicI64 = AtomicI64::new(0);

/// What the program takes beside blocks.
static PROGRAM: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// What this one has not. It needs no destructor, so it can be used as long as the thread lives.
    static OWN: Cell<i64> = const { Cell::new(0) };
}

/// Bytes in use: exact as far as this thread has asked for them, and nearly as far as others have.
pub(crate) fn bytes_in_use() -> u64 {
    let blocks = u64::try_from(TOLD.load(Ordering::Relaxed) + OWN.get()).unwrap_or(0);
    blocks + PROGRAM.load(Ordering::Relaxed)
}

/// Says how many bytes the program takes beside blocks. The first word counts: a limit on memory must not come nearer only
/// because more of the code was needed.
pub(crate) fn set_program_bytes(bytes: u64) {
    let _known = PROGRAM.compare_exchange(0, bytes, Ordering::Relaxed, Ordering::Relaxed);
}

/// The allocator of the process.
pub(crate) struct Counting;

fn count(bytes: i64) {
    let own = OWN.get() + bytes;
    if own.abs() < TELL_BYTES {
        OWN.set(own);
    } else {
        OWN.set(0);
        TOLD.fetch_add(own, Ordering::Relaxed);
    }
}

/// The size of the block that mimalloc takes: multiples of 16 up to 64, then four sizes between two powers of two.
fn block_bytes(size: usize) -> i64 {
    let bytes = match size {
        0..=8 => 8,
        9..=64 => size.next_multiple_of(16),
        65..=LARGE_BYTES => size.next_multiple_of(1 << ((size - 1).ilog2() - 2)),
        _ => size.next_multiple_of(PAGE_BYTES),
    };
    bytes as i64
}

// SAFETY: every call is handed on to mimalloc as it is; counting touches neither the layout nor the memory, does not
// allocate and does not panic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        let memory = unsafe { MiMalloc.alloc(layout) };
        if !memory.is_null() {
            count(block_bytes(layout.size()));
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-block_bytes(layout.size()));
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { MiMalloc.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        let memory = unsafe { MiMalloc.alloc_zeroed(layout) };
        if !memory.is_null() {
            count(block_bytes(layout.size()));
        }
        memory
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        let moved = unsafe { MiMalloc.realloc(memory, layout, new_size) };
        if !moved.is_null() {
            count(block_bytes(new_size) - block_bytes(layout.size()));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_sizes_of_mimalloc() {
        let sizes =
            [(1, 8), (8, 8), (9, 16), (17, 32), (64, 64), (65, 80), (100, 112), (128, 128), (129, 160)];
        for (size, block) in sizes {
            assert_eq!(block_bytes(size), block, "{size}");
        }
        assert_eq!(block_bytes(1025), 1280);
        assert_eq!(block_bytes(100_000), 112 << 10);
        assert_eq!(block_bytes((3 << 20) + 1), (3 << 20) + 4096);
    }

    #[test]
    fn what_is_asked_for_is_counted_until_it_is_given_back() {
        let before = bytes_in_use();
        let blocks: Vec<Box<[u8; 1000]>> = (0..1000).map(|_| Box::new([7; 1000])).collect();
        let grown = bytes_in_use() - before;
        // Other tests run meanwhile.
        assert!(grown >= 1_024_000, "{grown}");
        drop(blocks);
        assert!(bytes_in_use() < before + grown - 900_000);
    }

    #[test]
    fn what_one_thread_takes_another_may_give_back() {
        let block = std::thread::Builder::new().spawn(|| vec![1_u8; 8 << 20]).unwrap().join().unwrap();
        let with = bytes_in_use();
        drop(block);
        assert!(bytes_in_use() + (6 << 20) < with);
    }
}
