//! How the process' allocator is set, before anything is allocated in earnest.

/// Larger blocks than this are given back to the system as soon as they are freed.
#[cfg(target_env = "gnu")]
const GIVE_BACK_FROM_BYTES: i32 = 1024 * 1024;

/// Fixes what glibc otherwise learns: after the first large block that is freed it keeps the next ones on its heap, and
/// there an aligned block does not fit into the hole that another has left. Password hashes, 19 MiB each, made auth
/// grow to over a gigabyte within a hundred logins that way.
#[cfg(target_env = "gnu")]
#[allow(
    unsafe_code,
    reason = "only a function of glibc's own sets its allocator"
)]
pub(crate) fn give_back_large_blocks() {
    // SAFETY: two numbers are passed, and no other thread exists yet.
    let accepted = unsafe { nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, GIVE_BACK_FROM_BYTES) };
    debug_assert_eq!(accepted, 1, "glibc takes any threshold up to 32 MiB");
}

/// Other C libraries have neither the habit nor the setting.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back_large_blocks() {}
