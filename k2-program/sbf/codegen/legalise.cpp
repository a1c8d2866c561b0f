// Walks the instructions and lets integers.cpp, floats.cpp and memory.cpp replace them.
#include "codegen.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Support/ErrorHandling.h"

using namespace llvm;

namespace sbf {

Value *callBuiltin(IRBuilder<> &builder, StringRef name, ArrayRef<Value *> arguments) {
  Function *function = builder.GetInsertBlock()->getModule()->getFunction(name);
  if (!function)
    report_fatal_error("neither builtins.ll nor compiler_builtins has " + name);
  return builder.CreateCall(function, arguments);
}

// `llvm.trap` and `llvm.ubsantrap`: the back end would call a function of the Linux kernel.
static Rewrite legaliseTrap(Instruction &instruction) {
  auto *intrinsic = dyn_cast<IntrinsicInst>(&instruction);
  if (!intrinsic || (intrinsic->getIntrinsicID() != Intrinsic::trap && intrinsic->getIntrinsicID() != Intrinsic::ubsantrap))
    return Rewrite::none();
  IRBuilder<> builder(&instruction);
  callBuiltin(builder, "__sbf_trap", {});
  return Rewrite::removed();
}

static bool legaliseOnce(Module &program) {
  SmallVector<Instruction *> worklist;
  for (Function &function : program)
    for (Instruction &instruction : instructions(function))
      worklist.push_back(&instruction);
  bool changed = false;
  for (Instruction *instruction : worklist) {
    // The vectorisers are off and the scalariser ran: a vector here is one they do not cover.
    if (instruction->getType()->isVectorTy()) {
      error("vector operation in " + instruction->getFunction()->getName());
      continue;
    }
    Rewrite rewrite;
    for (auto *legalise : {legaliseInteger, legaliseFloat, legaliseMemory, legaliseTrap}) {
      rewrite = legalise(*instruction);
      if (rewrite.done)
        break;
    }
    if (!rewrite.done)
      continue;
    if (rewrite.value) {
      // A rewrite may fold to a value that has a name, or to a constant that cannot have one.
      if (!rewrite.value->hasName() && isa<Instruction>(rewrite.value))
        rewrite.value->takeName(instruction);
      instruction->replaceAllUsesWith(rewrite.value);
    }
    instruction->eraseFromParent();
    changed = true;
  }
  return changed;
}

void legaliseInstructions(Module &program) {
  // A rewrite may be made of instructions that have to be rewritten in turn: 128-bit remainder, then multiplication.
  constexpr int MaxRounds = 8;
  for (int round = 0; round < MaxRounds; ++round)
    if (failed() || !legaliseOnce(program))
      return;
  error("the legalisation of instructions does not come to an end");
}

} // namespace sbf
