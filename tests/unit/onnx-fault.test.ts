import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readableFault } from '../../workers/inference/onnx/onnx-fault.ts';
import { ModelFault, publicFault } from '../../workers/repository/model-fault.ts';

const FILE = '/srv/copies/of-us/7/model.onnx';
const at = (op: string, said: string) =>
  `Non-zero status code returned while running ${op} node. Name:'/encoder/${op}' Status Message: ${said}`;
const CPU = '/onnxruntime_src/onnxruntime/core/providers/cpu';

/** What ONNX Runtime 1.30 said when it was provoked, and what is left of it. */
const RUNS: readonly [op: string, said: string, left: string][] = [
  ['MatMul', 'matmul_helper.h:59 Compute MatMul dimension mismatch', 'MatMul dimension mismatch'],
  ['Gemm', 'GEMM: Dimension mismatch, W: {2,2} K: 3 N:2', 'GEMM: Dimension mismatch, W: {2,2} K: 3 N:2'],
  [
    'Add',
    `${CPU}/math/element_wise_ops.h:563 void onnxruntime::BroadcastIterator::Init(ptrdiff_t, ptrdiff_t) axis == 1 || axis == largest was false. Attempting to broadcast an axis by a dimension other than 1. 2 by 3\n`,
    'Attempting to broadcast an axis by a dimension other than 1. 2 by 3',
  ],
  [
    'Reshape',
    `${CPU}/tensor/reshape_helper.h:91 onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) input_shape_size == requested_shape_size was false. The input tensor cannot be reshaped to the requested shape. Input shape:{2,3}, requested shape:{4,4}\n`,
    'The input tensor cannot be reshaped to the requested shape. Input shape:{2,3}, requested shape:{4,4}',
  ],
  [
    'GatherElements',
    `${CPU}/tensor/gather_elements.cc:150 void onnxruntime::core_impl(const Tensor*, const Tensor*, Tensor*, int64_t, concurrency::ThreadPool*) [with Tin = long int; int64_t = long int] GatherElements op: Out of range value in index tensor\n`,
    'GatherElements op: Out of range value in index tensor',
  ],
  [
    'Concat',
    'concatbase.h:133 PrepareForComputeImpl Non concat axis dimensions must match: Axis 0 has mismatched dimensions of 3 and 2',
    'Non concat axis dimensions must match: Axis 0 has mismatched dimensions of 3 and 2',
  ],
  [
    'Squeeze',
    `${CPU}/tensor/squeeze.h:53 static onnxruntime::TensorShapeVector onnxruntime::SqueezeBase::ComputeOutputShape(const onnxruntime::TensorShape&, const onnxruntime::TensorShapeVector&) input_shape[i] == 1 was false. Dimension of input 1 must be 1 instead of 3. shape={2,3}\n`,
    'Dimension of input 1 must be 1 instead of 3. shape={2,3}',
  ],
  [
    'ConstantOfShape',
    '/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 4000000000000\n',
    'Failed to allocate memory for requested buffer of size 4000000000000',
  ],
  [
    'ConstantOfShape',
    '/onnxruntime_src/onnxruntime/core/framework/op_kernel.cc:83 virtual OrtValue* onnxruntime::OpKernelContext::OutputMLValue(int, const onnxruntime::TensorShape&) [ONNXRuntimeError] : 1 : FAIL : tensor.cc:57 CalculateTensorStorageSize Tensor shape.Size() must be >= 0\n',
    'Tensor shape.Size() must be >= 0',
  ],
  [
    'ConstantOfShape',
    '/onnxruntime_src/onnxruntime/core/common/safeint.h:17 static void SafeIntExceptionHandler<onnxruntime::OnnxRuntimeException>::SafeIntOnOverflow() Integer overflow\n',
    'Integer overflow',
  ],
  [
    'Pad',
    `${CPU}/tensor/padbase.h:122 static void onnxruntime::PadBase::ComputePadsImpl(KernelContextType&, size_t, gsl::span<const long int>, PadsVector&) [with KernelContextType = onnxruntime::OpKernelContext; size_t = long unsigned int; PadsVector = absl::lts_20250814::InlinedVector<long int, 10, std::allocator<long int> >] pads_data.size() == 2 * data_rank was false. Pads tensor size should be equal to twice the input dimension count \n`,
    'Pads tensor size should be equal to twice the input dimension count',
  ],
  [
    'MaxPool',
    `${CPU}/nn/pool_attributes.h:236 int64_t onnxruntime::PoolAttributes::ComputeOutputSize(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) const out_size >= 0 was false. Calculated output dimension is negative. Check kernel_shape, pads, strides and dilations.\n`,
    'Calculated output dimension is negative. Check kernel_shape, pads, strides and dilations.',
  ],
  ['Div', 'element_wise_ops.cc:692 Compute Integer division by zero', 'Integer division by zero'],
  [
    'If',
    'if.cc:295 Compute If nodes condition input must have exactly one element',
    'If nodes condition input must have exactly one element',
  ],
  [
    'Resize',
    'upsamplebase.h:608 ParseScalesData Number of elements in scales should be equal to rank of the data.',
    'Number of elements in scales should be equal to rank of the data.',
  ],
  [
    'Gather',
    'indices element out of data bounds, idx=9 must be within the inclusive range [-2,1]',
    'indices element out of data bounds, idx=9 must be within the inclusive range [-2,1]',
  ],
  ['Conv', 'Invalid input shape: {2}', 'Invalid input shape: {2}'],
  [
    'Where',
    'C:\\a\\_work\\1\\s\\onnxruntime\\core\\providers\\cpu\\math\\element_wise_ops.h:563 onnxruntime::BroadcastIterator::Init axis == 1 was false. 2 by (3)',
    '2 by (3)',
  ],
];

const LOADS: readonly [said: string, left: string][] = [
  [`Load model from ${FILE} failed:Protobuf parsing failed.`, 'Protobuf parsing failed.'],
  [`Load model from ${FILE} failed:Load model ${FILE} failed. File doesn't exist`, "File doesn't exist"],
  [
    `Load model from ${FILE} failed:/onnxruntime_src/onnxruntime/core/graph/model.cc:187 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&, const onnxruntime::IOnnxRuntimeOpSchemaRegistryList*, const onnxruntime::logging::Logger&, const onnxruntime::ModelOptions&) ModelProto does not have a graph.\n`,
    'ModelProto does not have a graph.',
  ],
  [
    `External data path validation failed for initializer: w. Error: tensorprotoutils.cc:461 ValidateExternalDataPathFromDir External data path does not exist: "/srv/copies/of-us/7/w.bin"`,
    'External data path validation failed for initializer: w. Error: External data path does not exist: "w.bin"',
  ],
  [
    `External data path validation failed for initializer: w. Error: External data path escapes model directory. External data path: "../../x" resolved path: "/srv/copies/x" allowed directory: "/srv/copies/of-us/7"`,
    'External data path validation failed for initializer: w. Error: External data path escapes model directory. External data path: "../../x"',
  ],
  [
    'Exception during initialization: /onnxruntime_src/onnxruntime/core/optimizer/initializer.cc:51 onnxruntime::Initializer::Initializer(const onnx::TensorProto&, const std::filesystem::__cxx11::path&) [ONNXRuntimeError] : 1 : FAIL : tensorprotoutils.cc:1763 GetExtDataFromTensorProto External initializer: w offset: 0 size to read: 8 given file_length: 3 are out of bounds or can not be read in full.\n',
    'Exception during initialization: External initializer: w offset: 0 size to read: 8 given file_length: 3 are out of bounds or can not be read in full.',
  ],
  [
    `Load model from ${FILE} failed:Node (/encoder/MatMul) Op (MatMul) [ShapeInferenceError] Incompatible dimensions for matrix multiplication`,
    'Node (/encoder/MatMul) Op (MatMul) [ShapeInferenceError] Incompatible dimensions for matrix multiplication',
  ],
];

describe('of what ONNX Runtime says', () => {
  test.each(RUNS)('a client reads the node and the reason: %s %#', (op, said, left) => {
    expect(readableFault(at(op, said), FILE)).toBe(`${op} node "/encoder/${op}": ${left}`);
  });

  test.each(LOADS)('a client reads what is wrong with the file: %#', (said, left) => {
    expect(readableFault(said, FILE)).toBe(left);
  });

  test('a node without a name, and one inside of another, are named by their operators', () => {
    const inner = "Non-zero status code returned while running Gather node. Name:'' Status Message: out of bounds";
    expect(readableFault(at('Loop', inner), FILE)).toBe('Loop node "/encoder/Loop": Gather node: out of bounds');
  });

  test('what is said in plain words stays as it is', () => {
    const plain = [
      'std::bad_alloc',
      "input 'x' is missing in 'feeds'.",
      'Unexpected input data type. Actual: (tensor(int64))',
    ];
    for (const said of plain) expect(readableFault(said, FILE)).toBe(said);
  });

  test('neither path nor source line is left, whatever nodes are called and however deep they are', async () => {
    const name = fc.stringMatching(/^[a-z0-9_/.]{0,12}$/);
    const nesting = fc.array(fc.tuple(fc.constantFrom('If', 'Loop', 'Scan'), name), { maxLength: 3 });
    await fc.assert(
      fc.property(nesting, name, fc.constantFrom(...RUNS), (outer, inner, [op, said, left]) => {
        const within = (of: string, called: string, text: string) =>
          `Non-zero status code returned while running ${of} node. Name:'${called}' Status Message: ${text}`;
        const all = outer.reduceRight((text, [of, called]) => within(of, called, text), within(op, inner, said));
        const readable = readableFault(all, FILE);
        expect(readable).not.toMatch(/onnxruntime|\.(h|cc):\d|::|Status Message|was false/);
        expect(readable).toMatch(new RegExp(`${left.replace(/[^\w ]/g, '.')}$`));
        for (const [of] of outer) expect(readable).toContain(`${of} node`);
      }),
    );
  });
});

test.each([
  ['/srv/models/a/1/model.onnx: no such file', 'a/1/model.onnx: no such file'],
  [
    "/srv/models/a/1: EACCES: permission denied, scandir '/srv/models/a/1/weights'",
    "a/1: EACCES: permission denied, scandir 'a/1/weights'",
  ],
  [
    "/srv/models/a/1: ENOSPC: no space left on device, copyfile '/srv/models/a/1/w.bin' -> '/tmp/copies/1/w.bin'",
    "a/1: ENOSPC: no space left on device, copyfile 'a/1/w.bin'",
  ],
  ["/srv/models/a/1: EMFILE: too many open files, open '/etc/x'", 'a/1: EMFILE: too many open files, open'],
  [
    "/srv/models/a/model.json: inputs.x: the model has no such tensor; expected one of '/encoder/x'",
    "a/model.json: inputs.x: the model has no such tensor; expected one of '/encoder/x'",
  ],
])('a fault of a model that the registry has names no directory of the machine: %#', (message, said) => {
  const [path = '', ...rest] = message.split(': ');
  expect(publicFault(new ModelFault({ name: 'a' }, path, rest.join(': ')), '/srv/models')).toBe(said);
});
