//! A safe door to llama.cpp, as wide as these programs need.

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Once;

use llama_cpp_sys_2 as sys;

use crate::Result;
use crate::engine::{BATCH, Engine, Running, Want};

/// How to load a model.
#[derive(Debug, Clone, Copy)]
pub struct Loading {
    /// Only the vocabulary.
    pub vocabulary_only: bool,
    /// Let llama.cpp repack weights for its CPU kernels, which it does unless it is told not to.
    pub repack: bool,
}

impl Default for Loading {
    fn default() -> Self {
        Self { vocabulary_only: false, repack: true }
    }
}

/// A loaded model.
#[derive(Debug)]
pub struct Model(NonNull<sys::llama_model>);

impl Model {
    /// Loads a GGUF file.
    pub fn load(path: &Path, loading: Loading) -> Result<Self> {
        start();
        let name = CString::new(path.as_os_str().as_encoded_bytes())?;
        // SAFETY: the defaults are plain data, and `name` lives through the call.
        let model = unsafe {
            let mut params = sys::llama_model_default_params();
            params.vocab_only = loading.vocabulary_only;
            params.use_extra_bufts = loading.repack;
            sys::llama_model_load_from_file(name.as_ptr(), params)
        };
        NonNull::new(model).map(Self).ok_or_else(|| format!("{}: llama.cpp cannot load it", path.display()).into())
    }

    fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: the model is alive, and its vocabulary lives as long.
        unsafe { sys::llama_model_get_vocab(self.0.as_ptr()) }
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        // SAFETY: the vocabulary is alive.
        usize::try_from(unsafe { sys::llama_vocab_n_tokens(self.vocab()) }).unwrap_or(0)
    }

    /// The token that the model wants before every text, if it wants one.
    pub fn leading(&self) -> Option<i32> {
        // SAFETY: the vocabulary is alive.
        unsafe { sys::llama_vocab_get_add_bos(self.vocab()).then(|| sys::llama_vocab_bos(self.vocab())) }
    }

    /// Ids of `text`; `bos` adds what the model adds, `special` parses control tokens.
    pub fn tokenize(&self, text: &[u8], bos: bool, special: bool) -> Result<Vec<i32>> {
        let length = i32::try_from(text.len())?;
        let mut ids = vec![0; text.len() + 8];
        // SAFETY: both buffers are as long as the lengths given.
        let n = unsafe {
            let room = i32::try_from(ids.len())?;
            sys::llama_tokenize(self.vocab(), text.as_ptr().cast(), length, ids.as_mut_ptr(), room, bos, special)
        };
        ids.truncate(usize::try_from(n).map_err(|_| "llama.cpp cannot tokenize this text")?);
        Ok(ids)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the pointer is ours and no context outlives the model (they borrow it).
        unsafe { sys::llama_model_free(self.0.as_ptr()) }
    }
}

/// A sequence being computed.
#[derive(Debug)]
pub struct Context<'m> {
    context: NonNull<sys::llama_context>,
    pool: *mut sys::ggml_threadpool,
    batch: sys::llama_batch,
    vocabulary: usize,
    length: usize,
    /// Sequences that continue the same beginning; they are all as long.
    branched: usize,
    model: PhantomData<&'m Model>,
}

impl<'m> Context<'m> {
    /// An empty sequence, with threads of its own that stay alive between calls as in llama.cpp's tools.
    pub fn new(model: &'m Model, running: Running) -> Result<Self> {
        let threads = i32::try_from(running.threads)?;
        // SAFETY: the defaults are plain data; the model outlives the context through `'m`.
        let (context, pool, batch) = unsafe {
            let mut params = sys::llama_context_default_params();
            params.n_ctx = u32::try_from(running.context)?;
            params.n_batch = BATCH as u32;
            params.n_ubatch = BATCH as u32;
            params.n_seq_max = u32::try_from(running.branches.max(1))?;
            // Branches share their prompt, which needs one buffer for all of them.
            params.kv_unified = true;
            params.n_threads = threads;
            params.n_threads_batch = threads;
            if running.exact {
                params.type_k = sys::GGML_TYPE_F32;
                params.type_v = sys::GGML_TYPE_F32;
                params.flash_attn_type = sys::LLAMA_FLASH_ATTN_TYPE_DISABLED;
            }
            let context = sys::llama_init_from_model(model.0.as_ptr(), params);
            let context = NonNull::new(context).ok_or("llama.cpp cannot make a context")?;
            let mut pool_params = sys::ggml_threadpool_params_default(threads);
            let pool = sys::ggml_threadpool_new(&raw mut pool_params);
            sys::llama_attach_threadpool(context.as_ptr(), pool, ptr::null_mut());
            (context, pool, sys::llama_batch_init(BATCH as i32, 0, 1))
        };
        Ok(Self { context, pool, batch, vocabulary: model.vocabulary(), length: 0, branched: 0, model: PhantomData })
    }

    /// Puts `ids` into the batch.
    fn fill(&mut self, ids: &[i32], want: Want) -> Result<()> {
        assert!((1..=BATCH).contains(&ids.len()), "a batch has 1 to {BATCH} tokens");
        for (i, &id) in ids.iter().enumerate() {
            if usize::try_from(id).map_or(true, |id| id >= self.vocabulary) {
                return Err(format!("token {id} is not in the vocabulary").into());
            }
            // SAFETY: the batch was made for BATCH tokens of one sequence each, and i < BATCH.
            unsafe {
                *self.batch.token.add(i) = id;
                *self.batch.pos.add(i) = i32::try_from(self.length + i)?;
                *self.batch.n_seq_id.add(i) = 1;
                **self.batch.seq_id.add(i) = 0;
                *self.batch.logits.add(i) = i8::from(want == Want::All || i + 1 == ids.len());
            }
        }
        self.batch.n_tokens = i32::try_from(ids.len())?;
        Ok(())
    }
}

impl Engine for Context<'_> {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn clear(&mut self) -> Result<()> {
        // SAFETY: the context is alive.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.context.as_ptr()), false) }
        self.length = 0;
        self.branched = 0;
        Ok(())
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        let first = i32::try_from(len)?;
        // SAFETY: the context is alive. Branches past the first go whole.
        unsafe {
            let memory = sys::llama_get_memory(self.context.as_ptr());
            for branch in 1..self.branched {
                sys::llama_memory_seq_rm(memory, i32::try_from(branch)?, -1, -1);
            }
            if !sys::llama_memory_seq_rm(memory, 0, first, -1) {
                return Err("llama.cpp cannot go back here".into());
            }
        }
        self.length = self.length.min(len);
        self.branched = 0;
        Ok(())
    }

    fn branch(&mut self, count: usize) -> Result<()> {
        for branch in 1..count {
            // SAFETY: the context is alive and was made for as many sequences.
            unsafe {
                let memory = sys::llama_get_memory(self.context.as_ptr());
                sys::llama_memory_seq_cp(memory, 0, i32::try_from(branch)?, -1, -1);
            }
        }
        self.branched = count;
        Ok(())
    }

    fn decode_branches(&mut self, ids: &[i32]) -> Result<()> {
        assert!(ids.len() == self.branched && ids.len() <= BATCH, "a token for every branch");
        for (i, &id) in ids.iter().enumerate() {
            // SAFETY: the batch was made for BATCH tokens of one sequence each, and i < BATCH.
            unsafe {
                *self.batch.token.add(i) = id;
                *self.batch.pos.add(i) = i32::try_from(self.length)?;
                *self.batch.n_seq_id.add(i) = 1;
                **self.batch.seq_id.add(i) = i32::try_from(i)?;
                *self.batch.logits.add(i) = 1;
            }
        }
        self.batch.n_tokens = i32::try_from(ids.len())?;
        // SAFETY: the batch is filled up to n_tokens; synchronize waits for the result.
        let status = unsafe {
            let status = sys::llama_decode(self.context.as_ptr(), self.batch);
            sys::llama_synchronize(self.context.as_ptr());
            status
        };
        self.length += 1;
        if status == 0 { Ok(()) } else { Err(format!("llama_decode: status {status} in a batch of branches").into()) }
    }

    fn decode(&mut self, ids: &[i32], want: Want) -> Result<&[f32]> {
        self.fill(ids, want)?;
        // SAFETY: the batch is filled up to n_tokens; synchronize waits for the result.
        let status = unsafe {
            let status = sys::llama_decode(self.context.as_ptr(), self.batch);
            sys::llama_synchronize(self.context.as_ptr());
            status
        };
        if status != 0 {
            return Err(format!("llama_decode: status {status} at position {}", self.length).into());
        }
        self.length += ids.len();
        let rows = if want == Want::All { ids.len() } else { 1 };
        // SAFETY: the context is alive.
        let logits = NonNull::new(unsafe { sys::llama_get_logits(self.context.as_ptr()) }).ok_or("no logits there")?;
        // SAFETY: llama.cpp keeps the wanted rows one after the other, each over the whole vocabulary, until the next
        // decode, which needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(logits.as_ptr(), rows * self.vocabulary) })
    }

    fn rest(&mut self) {
        // SAFETY: the pool is alive and idle.
        unsafe { sys::ggml_threadpool_pause(self.pool) }
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: all three are ours; the pool goes after the context that uses it.
        unsafe {
            sys::llama_batch_free(self.batch);
            sys::llama_free(self.context.as_ptr());
            sys::ggml_threadpool_free(self.pool);
        }
    }
}

/// What llama.cpp was built with, in its own words.
pub fn build_info() -> String {
    start();
    // SAFETY: a string that llama.cpp keeps.
    unsafe { CStr::from_ptr(sys::llama_print_system_info()) }.to_string_lossy().trim().to_owned()
}

/// Fails when llama.cpp was built without instructions that this machine has: its figures would be unfair.
pub fn require_native_build() -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    {
        let info = build_info();
        let wanted = [
            ("AVX2", is_x86_feature_detected!("avx2")),
            ("FMA", is_x86_feature_detected!("fma")),
            ("F16C", is_x86_feature_detected!("f16c")),
            ("AVX512", is_x86_feature_detected!("avx512f")),
            ("AVX512_VNNI", is_x86_feature_detected!("avx512vnni")),
            ("AVX512_BF16", is_x86_feature_detected!("avx512bf16")),
        ];
        for (name, present) in wanted {
            if present && !info.contains(&format!("{name} = 1")) {
                return Err(format!("llama.cpp was built without {name}; build inside benches/peers ({info})").into());
            }
        }
    }
    Ok(())
}

/// Starts the library once. It says nothing unless PEER_LOG is set.
fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the callback is a plain function that ignores its arguments.
        unsafe {
            if std::env::var_os("PEER_LOG").is_none() {
                sys::llama_log_set(Some(ignore), ptr::null_mut());
            }
            sys::llama_backend_init();
        }
    });
}

unsafe extern "C" fn ignore(_: sys::ggml_log_level, _: *const c_char, _: *mut c_void) {}
