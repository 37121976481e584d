// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/kernels/tile_jit.h"

#include "ds/backends/cpu/kernels/dispatch.h"

#if DS_TILE_JIT
#include <xbyak/xbyak.h>

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#endif

namespace ds::cpu {

#if DS_TILE_JIT
namespace {

constexpr int kLanes = 16;
constexpr int kFirstValue = 10, kRegisters = 32;  // below are scratch and constants
// Predicates of vcmpps, quiet: ordered but for "not equal".
constexpr uint8_t kEq = 0x00, kUnordered = 0x03, kNe = 0x04, kLt = 0x11, kLe = 0x12, kGt = 0x1e,
                  kGe = 0x1d;

/// Which register holds each value, decided before any code is written.
class Registers {
 public:
  Registers(const JitProgram& program, bool pin_splats) : last_(value_count(program), -1) {
    const int inputs = static_cast<int>(program.inputs.size());
    for (size_t i = 0; i < program.ops.size(); ++i)
      for (const int arg : program.ops[i].args)
        if (arg >= 0) last_[static_cast<size_t>(arg)] = static_cast<int>(i);
    const int end = static_cast<int>(program.ops.size());
    for (const auto& output : program.outputs) last_[static_cast<size_t>(output.value)] = end;
    assigned_.assign(last_.size(), -1);
    for (int r = kRegisters - 1; r >= kFirstValue; --r) free_.push_back(r);
    for (int v = 0; v < inputs; ++v)
      if (pin_splats && program.inputs[static_cast<size_t>(v)].splat) pinned_.push_back(v);
    for (const int v : pinned_) take(v);
    // A dry run: what the emitter will do.
    Registers dry = *this;
    for (size_t i = 0; i < program.ops.size() && dry.fits_; ++i) {
      for (const int arg : program.ops[i].args)
        if (arg >= 0) dry.ensure(arg);
      dry.release(program.ops[i].args, static_cast<int>(i));
      dry.take(inputs + static_cast<int>(i));
    }
    for (const auto& output : program.outputs) dry.ensure(output.value);
    fits_ = dry.fits_;
  }

  bool fits() const { return fits_; }
  const std::vector<int>& pinned() const { return pinned_; }
  int at(int value) const { return assigned_[static_cast<size_t>(value)]; }
  /// A register for the value, if it has none yet; true when it is new.
  bool ensure(int value) {
    if (at(value) >= 0) return false;
    take(value);
    return true;
  }
  void take(int value) {
    fits_ = fits_ && !free_.empty();
    if (!fits_) return;
    assigned_[static_cast<size_t>(value)] = free_.back();
    free_.pop_back();
  }
  /// Frees the registers of operands that op `i` reads last.
  void release(const std::array<int, 3>& args, int i) {
    for (const int arg : args) {
      if (arg < 0 || last_[static_cast<size_t>(arg)] != i || at(arg) < 0) continue;
      if (std::find(pinned_.begin(), pinned_.end(), arg) != pinned_.end()) continue;
      free_.push_back(at(arg));
      assigned_[static_cast<size_t>(arg)] = -1;
    }
  }

 private:
  static size_t value_count(const JitProgram& program) {
    return program.inputs.size() + program.ops.size();
  }

  std::vector<int> last_, assigned_, free_, pinned_;
  bool fits_ = true;
};

class Emitter : private Xbyak::CodeGenerator {
 public:
  Emitter(const JitProgram& program, const Registers& registers)
      : CodeGenerator(code_bytes(program)), program_(program) {
    Xbyak::Label loop, tail, done;
    vpxord(kZero, kZero, kZero);
    broadcast(kOne, 0x3f800000);
    broadcast(kHalfUlp, 0x7fff);
    broadcast(kBit, 1);
    broadcast(kQuiet, 0x40);
    for (const int v : registers.pinned()) load(v, Zmm(registers.at(v)), /*masked=*/false);
    xor_(rcx, rcx);
    mov(rdx, rsi);
    and_(rdx, -kLanes);
    jz(tail, T_NEAR);
    L(loop);
    body(registers, /*masked=*/false);
    add(rcx, kLanes);
    cmp(rcx, rdx);
    jb(loop, T_NEAR);
    L(tail);
    sub(rsi, rdx);
    jz(done, T_NEAR);
    mov(eax, -1);
    bzhi(eax, eax, esi);
    kmovw(k1, eax);
    mov(rcx, rdx);
    body(registers, /*masked=*/true);
    L(done);
    vzeroupper();
    ret();
    for (auto& [bits, label] : numbers_) {
      L(label);
      dd(bits);
    }
    ready();
    setProtectModeRE();
  }

  JitFn code() const { return getCode<JitFn>(); }

 private:
  using Zmm = Xbyak::Zmm;
  using Ymm = Xbyak::Ymm;
  using Xmm = Xbyak::Xmm;

  static size_t code_bytes(const JitProgram& program) {
    return 1024 + 2 * 256 * (program.ops.size() + program.inputs.size() + program.outputs.size());
  }

  void broadcast(const Zmm& to, uint32_t bits) {
    mov(eax, bits);
    vpbroadcastd(to, eax);
  }

  /// Memory of operand `index` (inputs, then outputs) at the present elements.
  Xbyak::RegExp address(int index, int size) {
    mov(rax, ptr[rdi + 8 * index]);
    return rax + rcx * size;
  }

  template <class Register>
  Register masked_in(const Register& to, bool masked) {
    return masked ? Register(to | k1 | T_z) : to;
  }

  void load(int value, const Zmm& to, bool masked) {
    const JitProgram::Input& input = program_.inputs[static_cast<size_t>(value)];
    if (input.splat) {
      mov(rax, ptr[rdi + 8 * value]);
      vmovups(to, ptr[rax]);
      return;
    }
    switch (input.dtype) {
      case DType::bf16:
        vpmovzxwd(masked_in(to, masked), ptr[address(value, 2)]);
        vpslld(to, to, 16);
        break;
      case DType::f16: vcvtph2ps(masked_in(to, masked), ptr[address(value, 2)]); break;
      case DType::bool_:
        vpmovzxbd(masked_in(to, masked), ptr[address(value, 1)]);
        vptestmd(k2, to, to);
        vmovaps(to | k2 | T_z, kOne);
        break;
      default: vmovups(masked_in(to, masked), ptr[address(value, 4)]);
    }
  }

  /// kOther: x rounded to bfloat16, in the lower half of each word. kScratch is lost.
  void round_bf16(const Zmm& x) {
    vpsrld(kScratch, x, 16);
    vpandd(kOther, kScratch, kBit);
    vpaddd(kOther, kOther, kHalfUlp);
    vpaddd(kOther, kOther, x);
    vpsrld(kOther, kOther, 16);
    vcmpps(k2, x, x, kUnordered);
    vpord(kOther | k2, kScratch, kQuiet);
  }

  void store(const JitProgram::Output& output, int index, const Zmm& from, bool masked) {
    const int operand = static_cast<int>(program_.inputs.size()) + index;
    const auto to = [&](int size) {
      const Xbyak::RegExp where = address(operand, size);
      return masked ? ptr[where] | k1 : ptr[where];
    };
    switch (output.dtype) {
      case DType::bf16:
        round_bf16(from);
        vpmovdw(Ymm(kOther.getIdx()), kOther);
        vmovdqu16(to(2), Ymm(kOther.getIdx()));
        break;
      case DType::f16:
        vcvtps2ph(Ymm(kOther.getIdx()), from, 0);
        vmovdqu16(to(2), Ymm(kOther.getIdx()));
        break;
      case DType::bool_:
        vcmpps(k2, from, kZero, kNe);
        vmovdqa32(kOther | k2 | T_z, kBit);
        vpmovdb(Xmm(kOther.getIdx()), kOther);
        vmovdqu8(to(1), Xmm(kOther.getIdx()));
        break;
      default: vmovups(to(4), from);
    }
  }

  // All outputs are stored after the last read: an output may be the memory of an input.
  void body(Registers registers, bool masked) {
    const int inputs = static_cast<int>(program_.inputs.size());
    const auto ready_input = [&](int value) {
      if (registers.ensure(value)) load(value, Zmm(registers.at(value)), masked);
    };
    for (size_t i = 0; i < program_.ops.size(); ++i) {
      const JitProgram::Op& op = program_.ops[i];
      std::array<Zmm, 3> in;
      for (size_t a = 0; a < 3; ++a) {
        if (op.args[a] < 0) continue;
        ready_input(op.args[a]);
        in[a] = Zmm(registers.at(op.args[a]));
      }
      registers.release(op.args, static_cast<int>(i));
      registers.take(inputs + static_cast<int>(i));
      emit(op.op, in[0], in[1], in[2], Zmm(registers.at(inputs + static_cast<int>(i))));
    }
    for (size_t o = 0; o < program_.outputs.size(); ++o) {
      ready_input(program_.outputs[o].value);
      store(program_.outputs[o], static_cast<int>(o), Zmm(registers.at(program_.outputs[o].value)),
            masked);
    }
  }

  void compare(const Zmm& a, const Zmm& b, const Zmm& out, uint8_t predicate) {
    vcmpps(k2, a, b, predicate);
    vmovaps(out | k2 | T_z, kOne);
  }

  /// `pick` is vmaxps or vminps, which give b where one of both is NaN.
  template <class Pick>
  void limit(const Zmm& a, const Zmm& b, const Zmm& out, Pick pick) {
    vcmpps(k2, a, a, kUnordered);
    pick(kScratch, a, b);
    vmovaps(kScratch | k2, a);
    vmovaps(out, kScratch);
  }

  /// The number as an operand, repeated.
  Xbyak::Address number(float value) {
    return zword_b[rip + numbers_[std::bit_cast<uint32_t>(value)]];
  }

  /// kExp: exp(-|a|) by the operations of ExpMinus (math-inl.h). The other scratch registers are
  /// lost.
  void exp_minus_magnitude(const Zmm& a) {
    const Zmm &r = kScratch, &scale = kOther, &q = kTemp, &low = kTemp2, &y = kExp;
    capped_magnitude(a, r);
    vbroadcastss(scale, dword[rip + numbers_[std::bit_cast<uint32_t>(12582912.0f + 127)]]);
    vfnmadd231ps(scale, r, number(1.4426950408889634f));
    vsubps(q, scale, number(12582912.0f + 127));
    vpslld(scale, scale, 23);
    vfnmsub231ps(r, q, number(0.693145751953125f));
    vfnmadd231ps(r, q, number(1.428606765330187e-06f));
    const Zmm& square = q;
    vmulps(square, r, r);
    vbroadcastss(low, dword[rip + numbers_[std::bit_cast<uint32_t>(0.1666652039884683f)]]);
    vfmadd213ps(low, r, number(0.4999999343209907f));
    vbroadcastss(y, dword[rip + numbers_[std::bit_cast<uint32_t>(0.008368745127098055f)]]);
    vfmadd213ps(y, r, number(0.04166839078967244f));
    vfmadd231ps(y, square, number(0.0013814539878973533f));
    vfmadd213ps(y, square, low);
    vfmadd213ps(y, square, r);
    vfmadd213ps(y, scale, scale);
  }
  void capped_magnitude(const Zmm& a, const Zmm& out) {
    magnitude(a, out);
    vminps(out, out, number(88.1f));
  }
  /// out: `negative` where the sign of a is set, else `other`.
  void choose_by_sign(const Zmm& a, const Zmm& negative, const Zmm& other, const Zmm& out) {
    vpmovd2m(k2, a);
    vblendmps(out | k2, other, negative);
  }
  void silu(const Zmm& a, const Zmm& out) {
    exp_minus_magnitude(a);
    vaddps(kScratch, kOne, kExp);
    choose_by_sign(a, kExp, kOne, kTemp);
    vmulps(kTemp, a, kTemp);
    vdivps(out, kTemp, kScratch);
  }
  void silu_slope(const Zmm& a, const Zmm& out) {
    exp_minus_magnitude(a);
    capped_magnitude(a, kOther);
    vaddps(kScratch, kOne, kExp);
    vdivps(kScratch, kOne, kScratch);
    vmulps(kExp, kExp, kScratch);
    vfnmadd213ps(kOther, kScratch, kOne);
    vmulps(kExp, kExp, kOther);
    vsubps(kTemp, kOne, kExp);
    choose_by_sign(a, kExp, kTemp, kTemp);
    vmovaps(kScratch, a);
    vfmadd213ps(kScratch, kZero, kTemp);
    vmovaps(out, kScratch);
  }

  void emit(TileOp op, const Zmm& a, const Zmm& b, const Zmm& c, const Zmm& out) {
    const auto max = [this](const Zmm& to, const Zmm& x, const Zmm& y) { vmaxps(to, x, y); };
    const auto min = [this](const Zmm& to, const Zmm& x, const Zmm& y) { vminps(to, x, y); };
    switch (op) {
      case TileOp::copy: vmovaps(out, a); break;
      case TileOp::neg: negate(a, out); break;
      case TileOp::abs: magnitude(a, out); break;
      case TileOp::square: vmulps(out, a, a); break;
      case TileOp::sqrt: vsqrtps(out, a); break;
      case TileOp::rsqrt:
        vsqrtps(kScratch, a);
        vdivps(out, kOne, kScratch);
        break;
      case TileOp::reciprocal: vdivps(out, kOne, a); break;
      case TileOp::relu: limit(a, kZero, out, max); break;
      case TileOp::silu: silu(a, out); break;
      case TileOp::silu_slope: silu_slope(a, out); break;
      case TileOp::floor: vrndscaleps(out, a, 9); break;
      case TileOp::ceil: vrndscaleps(out, a, 10); break;
      case TileOp::trunc: vrndscaleps(out, a, 11); break;
      case TileOp::round: vrndscaleps(out, a, 8); break;
      case TileOp::isnan: compare(a, a, out, kUnordered); break;
      case TileOp::logical_not: compare(a, kZero, out, kEq); break;
      case TileOp::to_bool: compare(a, kZero, out, kNe); break;
      case TileOp::round_bf16:
        round_bf16(a);
        vpslld(out, kOther, 16);
        break;
      case TileOp::round_f16:
        vcvtps2ph(Ymm(kOther.getIdx()), a, 0);
        vcvtph2ps(out, Ymm(kOther.getIdx()));
        break;
      case TileOp::add: vaddps(out, a, b); break;
      case TileOp::sub: vsubps(out, a, b); break;
      case TileOp::mul: vmulps(out, a, b); break;
      case TileOp::div: vdivps(out, a, b); break;
      case TileOp::maximum: limit(a, b, out, max); break;
      case TileOp::minimum: limit(a, b, out, min); break;
      case TileOp::eq: compare(a, b, out, kEq); break;
      case TileOp::ne: compare(a, b, out, kNe); break;
      case TileOp::lt: compare(a, b, out, kLt); break;
      case TileOp::le: compare(a, b, out, kLe); break;
      case TileOp::gt: compare(a, b, out, kGt); break;
      case TileOp::ge: compare(a, b, out, kGe); break;
      case TileOp::logical_and:
        vcmpps(k2, a, kZero, kNe);
        vcmpps(k2 | k2, b, kZero, kNe);
        vmovaps(out | k2 | T_z, kOne);
        break;
      case TileOp::logical_or:
        vcmpps(k2, a, kZero, kNe);
        vcmpps(k3, b, kZero, kNe);
        korw(k2, k2, k3);
        vmovaps(out | k2 | T_z, kOne);
        break;
      case TileOp::where:
        vcmpps(k2, a, kZero, kNe);
        vblendmps(out | k2, c, b);
        break;
      case TileOp::fma:
        vmovaps(kScratch, a);
        vfmadd213ps(kScratch, b, c);
        vmovaps(out, kScratch);
        break;
      case TileOp::clamp:
        limit(a, b, kOther, max);
        limit(kOther, c, out, min);
        break;
      default: break;  // jit_has() says no
    }
  }

  void negate(const Zmm& a, const Zmm& out) {
    vpslld(kScratch, kBit, 31);
    vpxord(out, a, kScratch);
  }
  void magnitude(const Zmm& a, const Zmm& out) {
    vpslld(out, a, 1);
    vpsrld(out, out, 1);
  }

  const Zmm kScratch = zmm0, kOther = zmm1, kZero = zmm2, kOne = zmm3, kHalfUlp = zmm4, kBit = zmm5,
            kQuiet = zmm6, kTemp = zmm7, kTemp2 = zmm8, kExp = zmm9;
  std::map<uint32_t, Xbyak::Label> numbers_;  // behind the code, by their bits
  const JitProgram& program_;
};

/// Equal for programs of the same code.
std::string signature(const JitProgram& program) {
  std::string key;
  const auto put = [&](int number) { key += static_cast<char>(number + 1); };
  for (const auto& input : program.inputs) put(input.splat ? 100 : static_cast<int>(input.dtype));
  key += '|';
  for (const auto& op : program.ops) {
    put(static_cast<int>(op.op));
    for (const int arg : op.args) put(arg);
  }
  key += '|';
  for (const auto& output : program.outputs) {
    put(output.value);
    put(static_cast<int>(output.dtype));
  }
  return key;
}

std::unique_ptr<Emitter> compile(const JitProgram& program) {
  // Numbers beyond a signature's characters are of programs too long for registers.
  if (program.inputs.size() + program.ops.size() > 120) return nullptr;
  for (const bool pin_splats : {true, false}) {
    const Registers registers(program, pin_splats);
    if (!registers.fits()) continue;
    try {
      return std::make_unique<Emitter>(program, registers);
    } catch (const Xbyak::Error&) {  // no executable memory on this system
      return nullptr;
    }
  }
  return nullptr;
}

}  // namespace

bool jit_has(TileOp op) {
  switch (op) {
    case TileOp::copy:
    case TileOp::neg:
    case TileOp::abs:
    case TileOp::square:
    case TileOp::sqrt:
    case TileOp::rsqrt:
    case TileOp::reciprocal:
    case TileOp::relu:
    case TileOp::silu:
    case TileOp::silu_slope:
    case TileOp::floor:
    case TileOp::ceil:
    case TileOp::trunc:
    case TileOp::round:
    case TileOp::isnan:
    case TileOp::logical_not:
    case TileOp::to_bool:
    case TileOp::round_bf16:
    case TileOp::round_f16:
    case TileOp::add:
    case TileOp::sub:
    case TileOp::mul:
    case TileOp::div:
    case TileOp::maximum:
    case TileOp::minimum:
    case TileOp::eq:
    case TileOp::ne:
    case TileOp::lt:
    case TileOp::le:
    case TileOp::gt:
    case TileOp::ge:
    case TileOp::logical_and:
    case TileOp::logical_or:
    case TileOp::where:
    case TileOp::fma:
    case TileOp::clamp: return simd_target().rfind("AVX3", 0) == 0;
    default: return false;
  }
}

bool jit_has(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16 ||
         dtype == DType::bool_;
}

JitFn jit_compile(const JitProgram& program) {
  // Never destroyed: programs of static objects may outlive any order of destruction.
  static auto* made = new std::map<std::string, std::unique_ptr<Emitter>>;
  static std::mutex mutex;
  const std::string key = signature(program);
  const std::lock_guard lock(mutex);
  auto found = made->find(key);
  if (found == made->end()) found = made->emplace(key, compile(program)).first;
  return found->second ? found->second->code() : nullptr;
}

#else

bool jit_has(TileOp) { return false; }
bool jit_has(DType) { return false; }
JitFn jit_compile(const JitProgram&) { return nullptr; }

#endif

}  // namespace ds::cpu
