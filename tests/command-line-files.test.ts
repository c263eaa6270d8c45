import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, SCALE, scaling } from './support/models-command.ts';
import { onnxModel, value } from './support/onnx.ts';

describe('foretell models inspect', () => {
  test('refuses weights behind a link that leads elsewhere, as add does, with the command that copies them', async () => {
    const { cwd, run } = await folder({ 'elsewhere.bin': SCALE });
    const file = join('m', '1', 'model.onnx');
    await mkdir(join(cwd, 'm', '1'), { recursive: true });
    await writeFile(join(cwd, file), scaling('scale.bin'));
    await symlink('../../elsewhere.bin', join(cwd, 'm', '1', 'scale.bin'));
    for (const command of ['inspect', 'add']) {
      const { code, stderr } = await run([command, file]);
      expect(code).toBe(1);
      expect(stderr).toContain('cp -L m/1/scale.bin m/1/scale.bin.copy && mv m/1/scale.bin.copy m/1/scale.bin\n');
    }
    await rm(join(cwd, 'm', '1', 'scale.bin'));
    await writeFile(join(cwd, 'm', '1', 'scale.bin'), SCALE);
    expect(await run(['inspect', file])).toMatchObject({ code: 0 });
  });

  test('shows control characters of names, and lets none through to the terminal', async () => {
    const [evil, shown] = ['\u001b[2J\r\n\u009b31m\u202e', '\\u001b[2J\\r\\n\\u009b31m\\u202e'];
    const onnx = onnxModel({
      inputs: [value(`x${evil}`, 'FP32', [`n${evil}`, 1])],
      outputs: [value('y', 'FP32', ['n', 1])],
      nodes: [{ op: 'Relu', inputs: [`x${evil}`], outputs: ['y'] }],
    });
    const manifest = { description: `About${evil}.`, outputs: { y: { fields: [`f${evil}`] } } };
    const { cwd, run } = await folder({ 'm.onnx': onnx, 'model.json': JSON.stringify(manifest) });
    const { code, stdout } = await run(['inspect', 'm.onnx']);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringContaining(`input    x${shown} FP32 [n${shown}, 1]`),
    });
    await writeFile(join(cwd, 'model.json'), JSON.stringify({ ...manifest, [`key${evil}`]: 1 }));
    const { stderr } = await run(['inspect', 'm.onnx']);
    expect(stderr).toContain('key');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    for (const printed of [stdout, stderr]) expect(printed).not.toMatch(/[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]/);
  });
});
