//! The environment of this process: read, and for a while without some of it.
//!
//! Must never: change a variable, or be used by more than one thread at a time.

use core::ffi::{CStr, c_char};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// The whole one, while some of it is hidden.
static WHOLE: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());

/// The environment that this process was started with, also what is no `NAME=VALUE`.
pub fn environment() -> impl Iterator<Item = &'static CStr> + Clone {
    // SAFETY: the C library sets it before `main`; only what is below changes it, in programs with one thread.
    let mut next = unsafe { environ };
    core::iter::from_fn(move || {
        // SAFETY: NULL, or an array that ends with NULL, of strings that live as long as the process.
        unsafe {
            if next.is_null() || (*next).is_null() {
                return None;
            }
            let variable = CStr::from_ptr(*next);
            next = next.add(1);
            Some(variable)
        }
    })
}

/// From now on this process, and what it executes, sees no variable whose name and value are meant; what has no name is
/// not seen either. The strings stay where they are.
pub fn hide_variables(is_hidden: impl Fn(&[u8], &[u8]) -> bool) {
    let stays = |variable: &&CStr| {
        let mut parts = variable.to_bytes().splitn(2, |byte| *byte == b'=');
        matches!((parts.next(), parts.next()), (Some(name), Some(value)) if !is_hidden(name, value))
    };
    let kept: Vec<*const c_char> =
        environment().filter(stays).map(CStr::as_ptr).chain(core::iter::once(ptr::null())).collect();
    // Whoever reads it may hold on to it for ever.
    let kept: &'static [*const c_char] = Vec::leak(kept);
    // SAFETY: an array that ends with NULL and lives as long as the process; nobody reads it just now.
    unsafe {
        WHOLE.store(environ.cast_mut(), Ordering::Relaxed);
        environ = kept.as_ptr();
    }
}

/// All of it is there again.
pub fn show_variables() {
    let whole = WHOLE.swap(ptr::null_mut(), Ordering::Relaxed);
    if !whole.is_null() {
        // SAFETY: it is what it was before.
        unsafe { environ = whole };
    }
}
