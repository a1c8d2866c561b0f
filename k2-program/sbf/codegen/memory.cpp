// memcpy, memmove, memset become syscalls.
//
// Short ones of known length stay for the back end, which writes them out as loads and stores: cheaper than the 10
// compute units of a syscall. The functions that are called here and by the optimiser are in builtins.ll.
#include "codegen.h"
#include "llvm/IR/IntrinsicInst.h"

using namespace llvm;

namespace sbf {

// In bytes. A memmove has to load everything before it stores anything, so it needs a register for every 8 bytes; more
// than BPF's ten would spill.
static constexpr uint64_t LongestInlineMove = 32, LongestInlineCopyOrSet = 96;

Rewrite legaliseMemory(Instruction &instruction) {
  auto *operation = dyn_cast<MemIntrinsic>(&instruction);
  if (!operation)
    return Rewrite::none();
  uint64_t limit = isa<MemMoveInst>(operation) ? LongestInlineMove : LongestInlineCopyOrSet;
  if (auto *length = dyn_cast<ConstantInt>(operation->getLength()); length && length->getZExtValue() <= limit)
    return Rewrite::none();

  IRBuilder<> builder(operation);
  Value *length = builder.CreateZExtOrTrunc(operation->getLength(), builder.getInt64Ty());
  if (auto *set = dyn_cast<MemSetInst>(operation)) {
    callBuiltin(builder, "memset", {set->getDest(), builder.CreateZExt(set->getValue(), builder.getInt32Ty()), length});
  } else {
    auto *transfer = cast<MemTransferInst>(operation);
    callBuiltin(builder, isa<MemMoveInst>(transfer) ? "memmove" : "memcpy", {transfer->getDest(), transfer->getSource(), length});
  }
  return Rewrite::removed();
}

} // namespace sbf
