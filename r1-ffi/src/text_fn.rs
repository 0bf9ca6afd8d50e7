//! Texts that the host makes of texts.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use crate::callback::{self, User};

/// Makes a text of a text. `text` has `len` bytes, is UTF-8, followed by NUL, and valid during the call. Write the result
/// to `out`, which has room for `size` bytes, without a NUL, and return its length; where it is longer than `size`, write
/// nothing and return the length, and the function is called once more with room enough. `R1_NO_TEXT` says that there is
/// none; what is longer than 1 MiB or is not UTF-8 counts as none.
///
/// Runs on the thread that made the call which needs it. It must not call back, except the functions that say "callbacks
/// included", and must not throw.
pub type r1_text_fn = Option<
    unsafe extern "C" fn(user: *mut c_void, text: *const c_char, len: usize, out: *mut c_char, size: usize) -> usize,
>;

/// Room that the first call gets, and the most that the second gets.
const ROOM: usize = 1024;
const MOST: usize = 1 << 20;

/// The host's function as the engine takes it.
pub(crate) fn hook(
    call: r1_text_fn,
    user: Arc<User>,
) -> Option<impl Fn(&str) -> Option<String> + Send + Sync + 'static> {
    let call = call?;
    Some(move |text: &str| {
        let text = [text.as_bytes(), b"\0"].concat();
        let mut out = Vec::new();
        for size in [ROOM, 0] {
            // The second call gets what the first one asked for.
            let size = size.max(out.len());
            out.resize(size, 0);
            // SAFETY: the host's function and its pointer, which it keeps valid until `drop`; `out` has `size` bytes.
            let len = callback::enter(|| unsafe {
                call(user.pointer, text.as_ptr().cast(), text.len() - 1, out.as_mut_ptr().cast(), size)
            });
            if len > MOST {
                return None;
            }
            let fits = len <= size;
            out.resize(len, 0);
            if fits {
                return String::from_utf8(out).ok();
            }
        }
        None
    })
}
