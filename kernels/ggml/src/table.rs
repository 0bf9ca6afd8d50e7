//! ggml's C API, as far as it is used here: one table of functions, filled by loading or by linking. Signatures follow
//! ggml.h, ggml-alloc.h, ggml-backend.h and ggml-rpc.h of the versions in [`VERSIONS`](crate::VERSIONS); pointers to
//! structures whose fields are not needed are opaque. `declarations` has a C compiler hold every signature against those
//! headers.

use std::ffi::{c_char, c_int, c_void};

macro_rules! opaque {
    ($($name:ident)*) => {$(
        #[repr(C)]
        pub(crate) struct $name {
            _opaque: [u8; 0],
        }
    )*};
}
opaque!(Context RawTensor RawGraph RawAllocator RawBuffer RawBufferType RawBackend RawDevice RawRegistry);

/// `struct ggml_init_params`, passed by value.
#[repr(C)]
pub(crate) struct InitParams {
    pub(crate) mem_size: usize,
    pub(crate) mem_buffer: *mut c_void,
    pub(crate) no_alloc: bool,
}

pub(crate) type LogCallback = unsafe extern "C" fn(level: LogLevel, text: *const c_char, user: *mut c_void);

macro_rules! enumerations {
    ($($name:ident = $c:literal)*) => {
        $(
            #[doc = $c]
            pub(crate) type $name = c_int;
        )*
        /// Their names here and in C.
        #[cfg(all(test, feature = "test-ggml"))]
        pub(crate) const ENUMERATIONS: &[(&str, &str)] = &[$((stringify!($name), $c)),*];
    };
}
enumerations! {
    TypeId = "enum ggml_type"
    LogLevel = "enum ggml_log_level"
    Status = "enum ggml_status"
    SortOrder = "enum ggml_sort_order"
    Precision = "enum ggml_prec"
    GluOp = "enum ggml_glu_op"
    BufferUsage = "enum ggml_backend_buffer_usage"
    DeviceType = "enum ggml_backend_dev_type"
}

/// A declared function: its name, the types of its arguments, the type of its result or nothing; as they are written.
#[cfg(all(test, feature = "test-ggml"))]
pub(crate) type Declaration = (&'static str, &'static [&'static str], &'static str);

macro_rules! table {
    (
        required { $(fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;)* }
        optional { $(fn $oname:ident($($oarg:ident: $oty:ty),* $(,)?) $(-> $oret:ty)?;)* }
        named { $(fn $nname:ident($($narg:ident: $nty:ty),* $(,)?) $(-> $nret:ty)?;)* }
    ) => {
        /// Functions that a backend gives by name.
        #[allow(non_camel_case_types, reason = "the names that ggml gives them")]
        pub(crate) mod named {
            use super::*;
            $(pub(crate) type $nname = unsafe extern "C" fn($($narg: $nty),*) $(-> $nret)?;)*
        }

        /// Everything that is declared here.
        #[cfg(all(test, feature = "test-ggml"))]
        pub(crate) const DECLARATIONS: &[Declaration] = &[
            $((stringify!($name), &[$(stringify!($ty)),*], concat!("", $(stringify!($ret))?)),)*
            $((stringify!($oname), &[$(stringify!($oty)),*], concat!("", $(stringify!($oret))?)),)*
            $((stringify!($nname), &[$(stringify!($nty)),*], concat!("", $(stringify!($nret))?)),)*
        ];

        /// ggml's functions.
        #[derive(Clone, Copy)]
        pub(crate) struct Table {
            $(pub(crate) $name: unsafe extern "C" fn($($arg: $ty),*) $(-> $ret)?,)*
            $(#[allow(dead_code, reason = "kept for the versions that have it")]
            pub(crate) $oname: Option<unsafe extern "C" fn($($oarg: $oty),*) $(-> $oret)?>,)*
        }

        impl Table {
            /// Takes every function from `symbol`; the name of the first required one that is absent is the error.
            ///
            /// # Safety
            /// What `symbol` gives for a name must be ggml's function of that name, from a version in `VERSIONS`.
            #[cfg(feature = "dlopen")]
            pub(crate) unsafe fn load(
                symbol: impl Fn(&str) -> Option<*const c_void>,
            ) -> Result<Table, &'static str> {
                // SAFETY: the caller says that the addresses are those functions; a function pointer is an address.
                unsafe {
                    Ok(Table {
                        $($name: std::mem::transmute::<*const c_void, unsafe extern "C" fn($($ty),*) $(-> $ret)?>(
                            symbol(stringify!($name)).ok_or(stringify!($name))?,
                        ),)*
                        $($oname: symbol(stringify!($oname)).map(|address| {
                            std::mem::transmute::<*const c_void, unsafe extern "C" fn($($oty),*) $(-> $oret)?>(address)
                        }),)*
                    })
                }
            }

            /// The functions that are linked into this program.
            #[cfg(feature = "link")]
            pub(crate) fn linked() -> Table {
                // The crate is here for its archive alone: the signatures above are the ones in use.
                use llama_cpp_sys_2 as _;
                unsafe extern "C" {
                    $(fn $name($($arg: $ty),*) $(-> $ret)?;)*
                    $(fn $oname($($oarg: $oty),*) $(-> $oret)?;)*
                }
                Table { $($name,)* $($oname: Some($oname),)* }
            }
        }
    };
}

table! {
    required {
        // ggml.h
        fn ggml_version() -> *const c_char;
        fn ggml_log_set(callback: Option<LogCallback>, user: *mut c_void);
        fn ggml_init(params: InitParams) -> *mut Context;
        fn ggml_free(ctx: *mut Context);
        fn ggml_tensor_overhead() -> usize;
        fn ggml_graph_overhead_custom(size: usize, grads: bool) -> usize;
        fn ggml_type_size(ty: TypeId) -> usize;
        fn ggml_blck_size(ty: TypeId) -> i64;
        fn ggml_new_tensor(ctx: *mut Context, ty: TypeId, n_dims: c_int, ne: *const i64) -> *mut RawTensor;
        fn ggml_set_name(tensor: *mut RawTensor, name: *const c_char) -> *mut RawTensor;
        fn ggml_set_output(tensor: *mut RawTensor);
        fn ggml_nbytes(tensor: *const RawTensor) -> usize;
        fn ggml_new_graph_custom(ctx: *mut Context, size: usize, grads: bool) -> *mut RawGraph;
        fn ggml_build_forward_expand(graph: *mut RawGraph, tensor: *mut RawTensor);
        fn ggml_graph_n_nodes(graph: *mut RawGraph) -> c_int;
        fn ggml_graph_node(graph: *mut RawGraph, i: c_int) -> *mut RawTensor;
        fn ggml_op_desc(tensor: *const RawTensor) -> *const c_char;
        fn ggml_view_4d(
            ctx: *mut Context, a: *mut RawTensor, ne0: i64, ne1: i64, ne2: i64, ne3: i64,
            nb1: usize, nb2: usize, nb3: usize, offset: usize,
        ) -> *mut RawTensor;
        fn ggml_reshape_4d(
            ctx: *mut Context, a: *mut RawTensor, ne0: i64, ne1: i64, ne2: i64, ne3: i64,
        ) -> *mut RawTensor;
        fn ggml_permute(
            ctx: *mut Context, a: *mut RawTensor, axis0: c_int, axis1: c_int, axis2: c_int, axis3: c_int,
        ) -> *mut RawTensor;
        fn ggml_cont(ctx: *mut Context, a: *mut RawTensor) -> *mut RawTensor;
        fn ggml_cpy(ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor) -> *mut RawTensor;
        fn ggml_get_rows(ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor) -> *mut RawTensor;
        fn ggml_set_rows(
            ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor, c: *mut RawTensor,
        ) -> *mut RawTensor;
        fn ggml_rms_norm(ctx: *mut Context, a: *mut RawTensor, eps: f32) -> *mut RawTensor;
        fn ggml_add(ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor) -> *mut RawTensor;
        fn ggml_mul(ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor) -> *mut RawTensor;
        fn ggml_scale(ctx: *mut Context, a: *mut RawTensor, s: f32) -> *mut RawTensor;
        fn ggml_step(ctx: *mut Context, a: *mut RawTensor) -> *mut RawTensor;
        fn ggml_sigmoid(ctx: *mut Context, a: *mut RawTensor) -> *mut RawTensor;
        fn ggml_div(ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor) -> *mut RawTensor;
        fn ggml_sum_rows(ctx: *mut Context, a: *mut RawTensor) -> *mut RawTensor;
        fn ggml_clamp(ctx: *mut Context, a: *mut RawTensor, min: f32, max: f32) -> *mut RawTensor;
        fn ggml_fill(ctx: *mut Context, a: *mut RawTensor, value: f32) -> *mut RawTensor;
        fn ggml_concat(ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor, dim: c_int) -> *mut RawTensor;
        fn ggml_argsort(ctx: *mut Context, a: *mut RawTensor, order: SortOrder) -> *mut RawTensor;
        fn ggml_mul_mat_id(
            ctx: *mut Context, matrices: *mut RawTensor, b: *mut RawTensor, ids: *mut RawTensor,
        ) -> *mut RawTensor;
        fn ggml_tanh(ctx: *mut Context, a: *mut RawTensor) -> *mut RawTensor;
        fn ggml_mul_mat(ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor) -> *mut RawTensor;
        fn ggml_prec_set_acc(a: *mut RawTensor, prec: Precision) -> bool;
        fn ggml_rope_ext(
            ctx: *mut Context, a: *mut RawTensor, positions: *mut RawTensor, factors: *mut RawTensor,
            n_dims: c_int, mode: c_int, n_ctx_orig: c_int, freq_base: f32, freq_scale: f32, ext_factor: f32,
            attn_factor: f32, beta_fast: f32, beta_slow: f32,
        ) -> *mut RawTensor;
        fn ggml_glu_split(ctx: *mut Context, a: *mut RawTensor, b: *mut RawTensor, op: GluOp) -> *mut RawTensor;
        fn ggml_soft_max_ext(
            ctx: *mut Context, a: *mut RawTensor, mask: *mut RawTensor, scale: f32, max_bias: f32,
        ) -> *mut RawTensor;
        fn ggml_flash_attn_ext(
            ctx: *mut Context, q: *mut RawTensor, k: *mut RawTensor, v: *mut RawTensor, mask: *mut RawTensor,
            scale: f32, max_bias: f32, soft_cap: f32,
        ) -> *mut RawTensor;
        fn ggml_argmax(ctx: *mut Context, a: *mut RawTensor) -> *mut RawTensor;
        fn ggml_top_k(ctx: *mut Context, a: *mut RawTensor, k: c_int) -> *mut RawTensor;
        // ggml-alloc.h
        fn ggml_gallocr_new(buft: *mut RawBufferType) -> *mut RawAllocator;
        fn ggml_gallocr_free(allocator: *mut RawAllocator);
        fn ggml_gallocr_alloc_graph(allocator: *mut RawAllocator, graph: *mut RawGraph) -> bool;
        fn ggml_gallocr_get_buffer_size(allocator: *mut RawAllocator, id: c_int) -> usize;
        fn ggml_backend_alloc_ctx_tensors_from_buft(ctx: *mut Context, buft: *mut RawBufferType) -> *mut RawBuffer;
        // ggml-backend.h
        fn ggml_backend_buft_alloc_buffer(buft: *mut RawBufferType, size: usize) -> *mut RawBuffer;
        fn ggml_backend_buft_get_max_size(buft: *mut RawBufferType) -> usize;
        fn ggml_backend_buft_get_alloc_size(buft: *mut RawBufferType, tensor: *const RawTensor) -> usize;
        fn ggml_backend_buffer_free(buffer: *mut RawBuffer);
        fn ggml_backend_buffer_get_base(buffer: *mut RawBuffer) -> *mut c_void;
        fn ggml_backend_buffer_get_size(buffer: *mut RawBuffer) -> usize;
        fn ggml_backend_buffer_clear(buffer: *mut RawBuffer, value: u8);
        fn ggml_backend_buffer_set_usage(buffer: *mut RawBuffer, usage: BufferUsage);
        fn ggml_backend_tensor_alloc(buffer: *mut RawBuffer, tensor: *mut RawTensor, address: *mut c_void) -> Status;
        fn ggml_backend_tensor_set(tensor: *mut RawTensor, data: *const c_void, offset: usize, size: usize);
        fn ggml_backend_tensor_set_async(
            backend: *mut RawBackend, tensor: *mut RawTensor, data: *const c_void, offset: usize, size: usize,
        );
        fn ggml_backend_tensor_get_async(
            backend: *mut RawBackend, tensor: *const RawTensor, data: *mut c_void, offset: usize, size: usize,
        );
        fn ggml_backend_synchronize(backend: *mut RawBackend);
        fn ggml_backend_graph_compute_async(backend: *mut RawBackend, graph: *mut RawGraph) -> Status;
        fn ggml_backend_free(backend: *mut RawBackend);
        fn ggml_backend_dev_name(device: *mut RawDevice) -> *const c_char;
        fn ggml_backend_dev_description(device: *mut RawDevice) -> *const c_char;
        fn ggml_backend_dev_memory(device: *mut RawDevice, free: *mut usize, total: *mut usize);
        fn ggml_backend_dev_type(device: *mut RawDevice) -> DeviceType;
        fn ggml_backend_dev_backend_reg(device: *mut RawDevice) -> *mut RawRegistry;
        fn ggml_backend_dev_init(device: *mut RawDevice, params: *const c_char) -> *mut RawBackend;
        fn ggml_backend_dev_buffer_type(device: *mut RawDevice) -> *mut RawBufferType;
        fn ggml_backend_dev_host_buffer_type(device: *mut RawDevice) -> *mut RawBufferType;
        fn ggml_backend_dev_supports_op(device: *mut RawDevice, op: *const RawTensor) -> bool;
        fn ggml_backend_reg_name(registry: *mut RawRegistry) -> *const c_char;
        fn ggml_backend_reg_dev_count(registry: *mut RawRegistry) -> usize;
        fn ggml_backend_reg_dev_get(registry: *mut RawRegistry, index: usize) -> *mut RawDevice;
        fn ggml_backend_reg_get_proc_address(registry: *mut RawRegistry, name: *const c_char) -> *mut c_void;
        fn ggml_backend_register(registry: *mut RawRegistry);
        fn ggml_backend_reg_by_name(name: *const c_char) -> *mut RawRegistry;
        fn ggml_backend_dev_count() -> usize;
        fn ggml_backend_dev_get(index: usize) -> *mut RawDevice;
        fn ggml_backend_load_all_from_path(folder: *const c_char);
    }
    optional {
        // ggml-impl.h: a number that no graph had before.
        fn ggml_graph_next_uid() -> u64;
    }
    named {
        fn ggml_backend_set_n_threads(backend: *mut RawBackend, n_threads: c_int);
        // ggml-rpc.h
        fn ggml_backend_rpc_add_server(endpoint: *const c_char) -> *mut RawRegistry;
        fn ggml_backend_rpc_start_server(
            endpoint: *const c_char, cache: *const c_char, n_threads: usize, n_devices: usize,
            devices: *mut *mut RawDevice,
        );
    }
}
