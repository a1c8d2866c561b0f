// Arguments and results that do not fit the registers.
//
// BPF passes five 64-bit arguments in registers and returns one; the back end refuses the rest. So every function type
// whose arguments need more, or whose result does, gets another form:
//
//   - a result of more than one slot is written to memory of the caller, whose address comes as the first argument;
//   - the arguments that do not fit go into a struct in the caller's frame, whose address comes as the last one.
//
// The form follows from the function type alone. So direct and indirect calls (function pointers, trait objects) agree
// without knowing of each other.
#include "codegen.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include <map>

using namespace llvm;

namespace sbf {

static constexpr unsigned ArgumentRegisters = 5;
// Nothing on the stack or in a packed struct is aligned beyond this; the accesses below say so.
static constexpr uint64_t StackAlignment = 8;

// The registers that a value of this type takes.
static unsigned slots(Type *type, const DataLayout &layout) {
  if (type->isVoidTy())
    return 0;
  if (auto *structure = dyn_cast<StructType>(type)) {
    unsigned sum = 0;
    for (Type *element : structure->elements())
      sum += slots(element, layout);
    return sum;
  }
  if (auto *array = dyn_cast<ArrayType>(type))
    return array->getNumElements() * slots(array->getElementType(), layout);
  return std::max<uint64_t>(1, divideCeil(layout.getTypeSizeInBits(type).getFixedValue(), 64));
}

namespace {

struct Form {
  bool resultInMemory = false;
  unsigned direct = 0;          // the first arguments, which stay as they are
  StructType *packed = nullptr; // the others; null if there are none
  FunctionType *type = nullptr; // the new function type

  bool changed() const { return resultInMemory || packed; }
};

class Forms {
public:
  explicit Forms(const DataLayout &layout) : layout(layout) {}

  const Form &of(FunctionType *type) {
    auto found = known.find(type);
    if (found == known.end())
      found = known.try_emplace(type, make(type)).first;
    return found->second;
  }

  const DataLayout &layout;

private:
  Form make(FunctionType *type) const {
    LLVMContext &context = type->getContext();
    Form form;
    form.resultInMemory = slots(type->getReturnType(), layout) > 1;
    SmallVector<Type *> parameters;
    if (form.resultInMemory)
      parameters.push_back(PointerType::get(context, 0));

    unsigned needed = parameters.size();
    for (Type *parameter : type->params())
      needed += slots(parameter, layout);
    unsigned room = ArgumentRegisters - parameters.size();
    bool fits = needed <= ArgumentRegisters;
    if (!fits)
      --room; // for the address of the struct
    for (Type *parameter : type->params()) {
      unsigned size = slots(parameter, layout);
      if (size > room)
        break;
      room -= size;
      parameters.push_back(parameter);
      ++form.direct;
    }
    if (!fits) {
      form.packed = StructType::get(context, type->params().drop_front(form.direct));
      parameters.push_back(PointerType::get(context, 0));
    }
    Type *result = form.resultInMemory ? Type::getVoidTy(context) : type->getReturnType();
    form.type = form.changed() ? FunctionType::get(result, parameters, false) : type;
    return form;
  }

  // Not a DenseMap: a reference that `of` gave must outlive the next call of it.
  std::map<FunctionType *, Form> known;
};

} // namespace

static Align alignmentOf(Type *type, const DataLayout &layout) {
  return Align(std::min(StackAlignment, layout.getABITypeAlign(type).value()));
}

// Attributes of the function as a whole, less what the rewrite makes untrue: it now reads and writes the caller's memory.
static AttributeList functionAttributes(const AttributeList &attributes, LLVMContext &context) {
  AttrBuilder kept(context, attributes.getFnAttrs());
  kept.removeAttribute(Attribute::Memory);
  return AttributeList::get(context, AttributeList::FunctionIndex, kept);
}

// ---- the caller's side -----------------------------------------------------------------------------------------------

static void rewriteCall(CallInst &call, const Form &form, AllocaInst *resultArea, AllocaInst *packArea, const DataLayout &layout) {
  IRBuilder<> builder(&call);
  SmallVector<Value *> arguments;
  if (form.resultInMemory)
    arguments.push_back(resultArea);
  for (unsigned i = 0; i < form.direct; ++i)
    arguments.push_back(call.getArgOperand(i));
  if (form.packed) {
    for (unsigned i = form.direct; i < call.arg_size(); ++i) {
      Value *argument = call.getArgOperand(i);
      Value *place = builder.CreateStructGEP(form.packed, packArea, i - form.direct);
      builder.CreateAlignedStore(argument, place, alignmentOf(argument->getType(), layout));
    }
    arguments.push_back(packArea);
  }
  CallInst *replacement = builder.CreateCall(form.type, call.getCalledOperand(), arguments);
  replacement->setCallingConv(call.getCallingConv());
  replacement->setAttributes(functionAttributes(call.getAttributes(), call.getContext()));
  Value *result = replacement;
  if (form.resultInMemory)
    result = builder.CreateAlignedLoad(call.getType(), resultArea, Align(StackAlignment));
  if (!call.getType()->isVoidTy())
    call.replaceAllUsesWith(result);
  call.eraseFromParent();
}

static void rewriteCallsIn(Function &function, Forms &forms) {
  SmallVector<CallInst *> calls;
  uint64_t resultBytes = 0, packBytes = 0;
  for (Instruction &instruction : instructions(function)) {
    if (isa<InvokeInst>(instruction) || isa<CallBrInst>(instruction)) {
      error("a call that unwinds in " + function.getName() + "; compile with panic = \"abort\"");
      continue;
    }
    auto *call = dyn_cast<CallInst>(&instruction);
    if (!call || isa<IntrinsicInst>(call) || call->isInlineAsm())
      continue;
    const Form &form = forms.of(call->getFunctionType());
    // Crates may declare a syscall in two ways; as long as both fit the registers, nothing hangs on it.
    if (auto *callee = dyn_cast<Function>(call->getCalledOperand());
        callee && callee->getFunctionType() != call->getFunctionType() &&
        (form.changed() || forms.of(callee->getFunctionType()).changed())) {
      error(callee->getName() + " is called as another type of function in " + function.getName());
      continue;
    }
    if (!form.changed())
      continue;
    if (Function *callee = call->getCalledFunction(); callee && callee->isDeclaration()) {
      error("the external function " + callee->getName() + " takes or gives more than fits the registers");
      continue;
    }
    calls.push_back(call);
    if (form.resultInMemory)
      resultBytes = std::max<uint64_t>(resultBytes, forms.layout.getTypeAllocSize(call->getType()));
    if (form.packed)
      packBytes = std::max<uint64_t>(packBytes, forms.layout.getTypeAllocSize(form.packed));
  }
  if (calls.empty())
    return;
  // One area for all calls of a function: a frame has only 4096 bytes. An argument is read when the callee begins, and a
  // result before anything else can be called.
  IRBuilder<> entry(&*function.getEntryBlock().getFirstInsertionPt());
  auto area = [&](uint64_t bytes) -> AllocaInst * {
    if (bytes == 0)
      return nullptr;
    AllocaInst *alloca = entry.CreateAlloca(ArrayType::get(entry.getInt64Ty(), divideCeil(bytes, 8)));
    alloca->setAlignment(Align(StackAlignment));
    return alloca;
  };
  AllocaInst *resultArea = area(resultBytes), *packArea = area(packBytes);
  for (CallInst *call : calls)
    rewriteCall(*call, forms.of(call->getFunctionType()), resultArea, packArea, forms.layout);
}

// ---- the callee's side -----------------------------------------------------------------------------------------------

static void rewriteDefinition(Function &old, const Form &form, const DataLayout &layout) {
  Function *function = Function::Create(form.type, old.getLinkage(), old.getAddressSpace(), "", old.getParent());
  function->takeName(&old);
  function->setCallingConv(old.getCallingConv());
  function->setUnnamedAddr(old.getUnnamedAddr());
  function->setVisibility(old.getVisibility());
  function->setAttributes(functionAttributes(old.getAttributes(), old.getContext()));
  function->splice(function->begin(), &old);

  IRBuilder<> builder(&*function->getEntryBlock().getFirstInsertionPt());
  unsigned first = form.resultInMemory ? 1 : 0;
  for (unsigned i = 0; i < old.arg_size(); ++i) {
    Argument *argument = old.getArg(i);
    Value *value;
    if (i < form.direct) {
      value = function->getArg(first + i);
    } else {
      Value *pack = function->getArg(function->arg_size() - 1);
      Value *place = builder.CreateStructGEP(form.packed, pack, i - form.direct);
      value = builder.CreateAlignedLoad(argument->getType(), place, alignmentOf(argument->getType(), layout));
    }
    value->takeName(argument);
    argument->replaceAllUsesWith(value);
  }
  if (form.resultInMemory)
    for (BasicBlock &block : *function)
      if (auto *ret = dyn_cast<ReturnInst>(block.getTerminator())) {
        IRBuilder<> atReturn(ret);
        atReturn.CreateAlignedStore(ret->getReturnValue(), function->getArg(0), Align(StackAlignment));
        atReturn.CreateRetVoid();
        ret->eraseFromParent();
      }
  old.replaceAllUsesWith(function);
  old.eraseFromParent();
}

// ---- what the back end rejects although it means nothing on BPF --------------------------------------------------------

static void normalise(Module &program) {
  constexpr Attribute::AttrKind Meaningless[] = {Attribute::StructRet, Attribute::InReg, Attribute::Nest, Attribute::SwiftSelf,
                                                 Attribute::Returned};
  for (Function &function : program) {
    if (function.isIntrinsic())
      continue;
    function.setCallingConv(CallingConv::C);
    for (unsigned i = 0; i < function.arg_size(); ++i) {
      if (function.hasParamAttribute(i, Attribute::ByVal))
        error("argument passed by value on the stack in " + function.getName());
      for (Attribute::AttrKind attribute : Meaningless)
        function.removeParamAttr(i, attribute);
    }
    for (Instruction &instruction : instructions(function)) {
      auto *call = dyn_cast<CallInst>(&instruction);
      if (!call || isa<IntrinsicInst>(call))
        continue;
      call->setCallingConv(CallingConv::C);
      for (unsigned i = 0; i < call->arg_size(); ++i)
        for (Attribute::AttrKind attribute : Meaningless)
          call->removeParamAttr(i, attribute);
    }
  }
}

void legaliseCalls(Module &program) {
  normalise(program);
  SmallVector<Function *> functions;
  for (Function &function : program)
    functions.push_back(&function);
  Forms forms(program.getDataLayout());
  for (Function *function : functions)
    if (!function->isDeclaration())
      rewriteCallsIn(*function, forms);
  if (failed())
    return;
  for (Function *function : functions)
    if (!function->isDeclaration() && forms.of(function->getFunctionType()).changed())
      rewriteDefinition(*function, forms.of(function->getFunctionType()), forms.layout);
  // A tail call would hand on the address of an area in a frame that is gone.
  for (Function &function : program)
    for (Instruction &instruction : instructions(function))
      if (auto *call = dyn_cast<CallInst>(&instruction))
        call->setTailCallKind(CallInst::TCK_None);
}

} // namespace sbf
