//! How glibc's allocator gives memory back. The one place with `unsafe`, because nothing else holds
//! the process to its bound.
//!
//! Left alone, glibc raises the size from which a block has a mapping of its own up to 32 MiB as soon
//! as large blocks are freed, and keeps the holes: a storm of large bodies peaked at 47 MB and left
//! 37, where never more than 16 were counted. With these settings, and one inflater at a time, it
//! peaks at 27 and leaves 19 (tests/it/bad_days.rs).
//!
//! musl's allocator gives back by itself: such a storm peaks at 28 MB and leaves 4. For that it maps
//! and unmaps pages for about every second small event, up to half as much processor time again. Memory
//! comes first here.

/// Sets it up. To be called before the first thread.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    /// From here on a block has a mapping of its own, which goes when the block does, and grows
    /// without being copied.
    const MAPPED_FROM_BYTES: libc::c_int = 16 << 10;
    /// More than this free at the end of the heap goes back.
    const TRIM_BYTES: libc::c_int = 64 << 10;
    /// Three threads share one heap: one that is not theirs alone is not worth another.
    const ARENAS: libc::c_int = 1;
    for (what, value) in
        [(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES), (libc::M_TRIM_THRESHOLD, TRIM_BYTES), (libc::M_ARENA_MAX, ARENAS)]
    {
        // SAFETY: mallopt only sets numbers of the allocator, and no other thread runs yet.
        let taken = unsafe { libc::mallopt(what, value) };
        debug_assert_eq!(taken, 1, "glibc knows this setting");
    }
}

/// Gives back what is free between blocks that are not. For a calm moment: it walks the heap.
#[cfg(target_env = "gnu")]
pub fn trim() {
    // SAFETY: malloc_trim may be called at any time, by any thread.
    let given_back = unsafe { libc::malloc_trim(0) };
    log::debug!(given_back = given_back == 1; "the heap was trimmed");
}

/// Nothing to set up.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

/// Nothing to give back.
#[cfg(not(target_env = "gnu"))]
pub fn trim() {}
