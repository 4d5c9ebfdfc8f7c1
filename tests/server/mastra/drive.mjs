// Drives a server with the unmodified npm client: `node --test drive.mjs`, with OUTLAST_URL and OUTLAST_TOKENS_URL set.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MastraClient, MastraClientError } from '@mastra/client-js';

const url = process.env.OUTLAST_URL;
const protectedUrl = process.env.OUTLAST_TOKENS_URL;
const client = new MastraClient({ baseUrl: url, retries: 0 });
const bearer = (secret, at = protectedUrl) =>
  new MastraClient({ baseUrl: at, retries: 0, headers: { Authorization: `Bearer ${secret}` } });

const known = new Set();
const called = new Set();
function count(name, prototype, concerns = () => true) {
  for (const method of Object.getOwnPropertyNames(prototype).filter(each => each !== 'constructor' && concerns(each))) {
    const original = prototype[method];
    known.add(`${name}.${method}`);
    prototype[method] = function (...given) {
      called.add(`${name}.${method}`);
      return original.apply(this, given);
    };
  }
}
count('MastraClient', MastraClient.prototype, method => /workflow|schedule/i.test(method));
count('Workflow', Object.getPrototypeOf(client.getWorkflow('count')));
count('Run', Object.getPrototypeOf(await client.getWorkflow('count').createRun()));
called.clear();

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
const types = chunks => chunks.map(chunk => chunk.type);
const RESUMED = ['suspended']; // until a worker takes what was accepted
const ended = async (workflow, runId, still = []) => {
  for (;;) {
    const run = await workflow.runById(runId, { fields: ['result', 'error'] });
    if (!['pending', 'running', 'waiting', ...still].includes(run.status)) return run;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
};
async function refused(promise, status, code) {
  await assert.rejects(promise, error => {
    assert(error instanceof MastraClientError, error);
    assert.equal(error.status, status);
    assert.equal(error.body.code, code);
    assert.equal(typeof error.body.error, 'string');
    return true;
  });
}

test('listWorkflows', async () => {
  const workflows = await client.listWorkflows();
  assert.deepEqual(Object.keys(workflows).sort(), ['approval', 'breaks', 'count', 'each', 'nap', 'outer', 'shaky', 'two']);
  assert.equal(workflows.approval.name, 'approval');
  const partial = await client.listWorkflows(undefined, true);
  assert.equal(partial.approval.stepCount, 2);
});

test('details and getSchema', async () => {
  const workflow = client.getWorkflow('outer');
  const details = await workflow.details();
  assert.deepEqual(Object.keys(details.allSteps).sort(), ['inner', 'inner.approve', 'inner.prepare', 'prepare']);
  assert.equal(details.stepGraph[1].type, 'workflow');
  const schema = await workflow.getSchema();
  assert.deepEqual(schema.inputSchema.required, ['amount']);
  assert.equal(schema.outputSchema.type, 'string');
});

test('createRun, start, runById', async () => {
  const workflow = client.getWorkflow('count');
  const run = await workflow.createRun({ resourceId: 'ada' });
  const created = await workflow.runById(run.runId);
  assert.equal(created.status, 'pending');
  assert.equal(created.resourceId, 'ada');
  const answer = await run.start({ inputData: { amount: 1 }, requestContext: { tenant: 7 } });
  assert.equal(answer.message, 'Workflow run started');
  const done = await ended(workflow, run.runId);
  assert.deepEqual(done.result, { total: 2, tenant: 7 });
  assert.deepEqual(done.initialState, { seen: 2 });
  assert.equal('steps' in done, false);
  const whole = await workflow.runById(run.runId, { withNestedWorkflows: false });
  assert.deepEqual(whole.steps.prepare.payload, { amount: 1 });
  assert.ok(!Number.isNaN(Date.parse(whole.createdAt)));
});

test('createRun with an id twice is harmless', async () => {
  const workflow = client.getWorkflow('count');
  const first = await workflow.createRun({ runId: 'twice' });
  const second = await workflow.createRun({ runId: 'twice' });
  assert.equal(first.runId, second.runId);
});

test('startAsync', async () => {
  const run = await client.getWorkflow('count').createRun();
  const result = await run.startAsync({ inputData: { amount: 2 }, initialState: { seen: 0 } });
  assert.equal(result.status, 'success');
  assert.deepEqual(result.result, { total: 3, tenant: 0 });
  assert.deepEqual(result.steps.input, { amount: 2 });
  assert.deepEqual(result.stepExecutionPath, ['prepare', 'count']);
});

test('startAsync of a failure gives an Error', async () => {
  const run = await client.getWorkflow('breaks').createRun();
  const result = await run.startAsync({ inputData: { amount: 2 } });
  assert.equal(result.status, 'failed');
  assert(result.error instanceof Error);
  assert.equal(result.error.message, 'no such luck');
});

test('retries', async () => {
  const run = await client.getWorkflow('shaky').createRun();
  const result = await run.startAsync({ inputData: { amount: 2 } });
  assert.equal(result.result, 'third time lucky');
});

test('stream', async () => {
  const run = await client.getWorkflow('count').createRun();
  const chunks = await read(await run.stream({ inputData: { amount: 4 } }));
  assert.deepEqual(types(chunks), [
    'workflow-start',
    'workflow-step-start',
    'workflow-step-result',
    'workflow-step-start',
    'workflow-step-output',
    'workflow-step-result',
    'workflow-finish',
  ]);
  assert.ok(chunks.every(chunk => chunk.runId === run.runId));
  const [start, stepStart, stepResult, , output] = chunks;
  assert.equal(start.payload.workflowId, 'count');
  assert.deepEqual(stepStart.payload.payload, { amount: 4 });
  assert.equal(stepResult.payload.status, 'success');
  assert.deepEqual(stepResult.payload.output, { amount: 5 });
  assert.equal(output.from, 'USER');
  assert.deepEqual(output.payload.output, { half: 2 });
  const finish = chunks.at(-1);
  assert.equal(finish.payload.workflowStatus, 'success');
  assert.deepEqual(finish.payload.finalWorkflowResult, { total: 5, tenant: 0 });
});

test('observe replays, from any place, without repeats', async () => {
  const run = await client.getWorkflow('count').createRun();
  const live = await read(await run.stream({ inputData: { amount: 4 } }));
  assert.deepEqual(await read(await run.observe()), live);
  assert.deepEqual(await read(await run.observe({ offset: 3 })), live.slice(3));
  assert.deepEqual(await read(await run.observeStream()), live);
});

test('observe of a live run sees the past once and then the rest', async () => {
  const workflow = client.getWorkflow('nap');
  const run = await workflow.createRun();
  await run.start({ inputData: { amount: 1 } });
  const watching = run.observe().then(read);
  await run.cancel();
  const chunks = await watching;
  assert.deepEqual(types(chunks).filter(type => type !== 'workflow-step-waiting').slice(0, 1), ['workflow-start']);
  assert.equal(chunks.filter(chunk => chunk.type === 'workflow-start').length, 1);
  assert.deepEqual(types(chunks).slice(-2), ['workflow-canceled', 'workflow-finish']);
});

test('suspend, and resume by each method', async () => {
  const workflow = client.getWorkflow('approval');
  const suspended = async () => {
    const run = await workflow.createRun();
    const result = await run.startAsync({ inputData: { amount: 9 } });
    assert.equal(result.status, 'suspended');
    assert.deepEqual(result.suspended, [['approve']]);
    assert.deepEqual(result.suspendPayload, { approve: { amount: 10 } });
    return run;
  };

  const first = await suspended();
  assert.deepEqual(await first.resume({ step: 'approve', resumeData: true }), { message: 'Workflow run resumed' });
  assert.equal((await ended(workflow, first.runId, RESUMED)).result, '10: yes');

  const second = await suspended();
  assert.equal((await second.resumeAsync({ step: ['approve'], resumeData: false })).result, '10: no');

  const third = await suspended();
  assert.deepEqual(await third.resumeNoWait({ resumeData: true }), { runId: third.runId });
  assert.equal((await ended(workflow, third.runId, RESUMED)).result, '10: yes');

  const fourth = await suspended();
  const chunks = await read(await fourth.resumeStream({ step: 'approve', resumeData: true }));
  assert.equal(chunks[0].type, 'workflow-start');
  const resumed = chunks.find(chunk => chunk.type === 'workflow-step-start');
  assert.equal(resumed.payload.resumePayload, true);
  assert.equal(chunks.at(-1).payload.finalWorkflowResult, '10: yes');
});

test('stream ends at a suspension unless it is told not to', async () => {
  const workflow = client.getWorkflow('approval');
  const closing = await workflow.createRun();
  const chunks = await read(await closing.stream({ inputData: { amount: 1 } }));
  assert.ok(types(chunks).includes('workflow-step-suspended'));
  assert.equal(chunks.at(-1).payload.workflowStatus, 'suspended');

  const open = await workflow.createRun();
  const reading = open.stream({ inputData: { amount: 1 }, closeOnSuspend: false }).then(read);
  await ended(workflow, open.runId);
  await open.resumeAsync({ resumeData: true });
  const all = await reading;
  assert.equal(types(all).filter(type => type === 'workflow-finish').length, 1);
  assert.equal(all.at(-1).payload.workflowStatus, 'success');
});

test('nested steps and items of a foreach are resumed', async () => {
  const outer = await client.getWorkflow('outer').createRun();
  const result = await outer.startAsync({ inputData: { amount: 1 } });
  assert.deepEqual(result.suspended, [['inner', 'approve']]);
  assert.equal((await outer.resumeAsync({ step: ['inner', 'approve'], resumeData: true })).result, '3: yes');

  const each = await client.getWorkflow('each').createRun();
  await each.startAsync({ inputData: [1, 2, 3] });
  assert.equal((await each.resumeAsync({ step: 'ask', forEachIndex: 1, resumeData: 10 })).status, 'suspended');
  assert.deepEqual((await each.resumeAsync({ step: 'ask', resumeData: 2 })).result, [2, 20, 6]);
});

test('cancel', async () => {
  const workflow = client.getWorkflow('nap');
  for (const verb of ['cancel', 'cancelRun']) {
    const run = await workflow.createRun();
    await run.start({ inputData: { amount: 1 } });
    assert.deepEqual(await run[verb](), { message: 'Workflow run cancelled' });
    assert.equal((await ended(workflow, run.runId)).status, 'canceled');
  }
});

test('restart', async () => {
  const workflow = client.getWorkflow('breaks');
  const run = await workflow.createRun();
  await run.startAsync({ inputData: { amount: 1 } });
  assert.equal((await run.restartAsync()).result, 'mended');

  const other = await workflow.createRun();
  await other.startAsync({ inputData: { amount: 1 } });
  assert.deepEqual(await other.restart({}), { message: 'Workflow run restarted' });
  assert.equal((await ended(workflow, other.runId)).result, 'mended');
});

test('time travel', async () => {
  const workflow = client.getWorkflow('count');
  const run = await workflow.createRun();
  await run.startAsync({ inputData: { amount: 1 } });
  const again = await run.timeTravelAsync({ step: 'count', inputData: { amount: 50 } });
  assert.deepEqual(again.result, { total: 50, tenant: 0 });
  assert.deepEqual(await run.timeTravel({ step: 'count' }), { message: 'Workflow run time travel started' });
  await ended(workflow, run.runId);
  const chunks = await read(await run.timeTravelStream({ step: 'prepare', inputData: { amount: 7 } }));
  assert.equal(chunks.at(-1).payload.finalWorkflowResult.total, 8);

  const never = await workflow.createRun();
  const context = { prepare: { status: 'success', output: { amount: 3 }, payload: {}, startedAt: 1, endedAt: 2 } };
  assert.equal((await never.timeTravelAsync({ step: 'count', context })).result.total, 3);
});

test('step by step', async () => {
  const run = await client.getWorkflow('count').createRun();
  const paused = await run.startAsync({ inputData: { amount: 1 }, perStep: true });
  assert.equal(paused.status, 'paused');
  assert.deepEqual(paused.stepExecutionPath, ['prepare']);
});

test('lists of runs', async () => {
  const workflow = client.getWorkflow('shaky');
  const before = await workflow.runs();
  const ids = [];
  for (const resourceId of ['x', 'y', 'x']) {
    const run = await workflow.createRun({ resourceId });
    await run.startAsync({ inputData: { amount: 1 } });
    ids.unshift(run.runId);
  }
  const all = await workflow.runs();
  assert.equal(all.total, before.total + 3);
  assert.deepEqual(all.runs.slice(0, 3).map(run => run.runId), ids);
  assert.equal(all.runs[0].snapshot.status, 'success');
  const page = await workflow.runs({ page: 0, perPage: 2 });
  assert.equal(page.runs[0].snapshot.context.shaky.output, 'third time lucky');
  assert.deepEqual([page.runs.length, page.total], [2, all.total]);
  assert.equal((await workflow.runs({ limit: 1, offset: 1 })).runs[0].runId, ids[1]);
  assert.equal((await workflow.runs({ limit: false })).total, all.total);
  assert.deepEqual((await workflow.runs({ resourceId: 'y' })).runs.map(run => run.runId), [ids[1]]);
  assert.equal((await workflow.runs({ status: 'failed' })).total, 0);
  assert.equal((await workflow.runs({ fromDate: new Date(Date.now() + 60_000) })).total, 0);
  assert.equal((await workflow.runs({ toDate: new Date(Date.now() + 60_000) })).total, all.total);
});

test('deleteRunById', async () => {
  const workflow = client.getWorkflow('shaky');
  const run = await workflow.createRun();
  await refused(workflow.deleteRunById(run.runId), 409, 'run-state');
  await run.startAsync({ inputData: { amount: 1 } });
  assert.deepEqual(await workflow.deleteRunById(run.runId), { message: 'Workflow run deleted' });
  await refused(workflow.deleteRunById(run.runId), 404, 'run-not-found');
  await refused(workflow.runById(run.runId), 404, 'run-not-found');
});

test('counts of active runs', async () => {
  const run = await client.getWorkflow('two').createRun();
  await run.startAsync({ inputData: 1 });
  const counts = await client.listWorkflowRunCounts();
  assert.deepEqual(counts.two, { running: 0, suspended: 1 });
});

test('every error of the contract', async () => {
  const approval = client.getWorkflow('approval');
  await refused(client.getWorkflow('nope').details(), 404, 'workflow-not-found');
  await refused(approval.runById('nope'), 404, 'run-not-found');
  const run = await approval.createRun();
  await refused(client.getWorkflow('count').runById(run.runId), 404, 'run-not-found');
  await refused(run.start({ inputData: { amount: 'many' } }), 400, 'input');
  await refused(run.startAsync({ inputData: { amount: 'many' } }), 400, 'input');
  await refused(run.stream({ inputData: { amount: 'many' } }), 400, 'input');
  assert.equal((await approval.runById(run.runId)).status, 'pending');
  await refused(run.resumeAsync({ resumeData: true }), 409, 'run-state');
  await run.startAsync({ inputData: { amount: 1 } });
  await refused(run.resume({ step: 'prepare', resumeData: true }), 409, 'resume-target');
  await refused(run.resume({ step: 'approve', resumeData: 'perhaps' }), 400, 'input');
  await refused(run.restart({}), 409, 'run-state');
  await run.resumeAsync({ resumeData: true });
  await refused(run.resumeAsync({ resumeData: true }), 409, 'run-state');
  await refused(run.resumeStream({ resumeData: true }), 409, 'run-state');
  await refused(run.start({ inputData: { amount: 1 } }), 409, 'run-exists');
  await refused(run.startAsync({ inputData: { amount: 1 } }), 409, 'run-state');
  await refused(run.stream({ inputData: { amount: 1 } }), 409, 'run-state');
  await refused(run.cancel(), 409, 'run-state');
  assert.equal((await approval.runById(run.runId)).status, 'success');
  await refused(run.timeTravelAsync({ step: 'nope' }), 400, 'input');
  const two = await client.getWorkflow('two').createRun();
  await two.startAsync({ inputData: 1 });
  await refused(two.resumeAsync({ resumeData: 1 }), 400, 'resume-target');
  await refused(approval.runs({ status: 'nope' }), 400, 'invalid-request');
  await refused(approval.runById(run.runId, { fields: ['nope'] }), 400, 'invalid-request');
  await refused(two.startAsync({ inputData: 'x'.repeat(5_000_000) }), 413, 'body-too-large');
});

test('of two resumes that race one wins', async () => {
  const run = await client.getWorkflow('approval').createRun();
  await run.startAsync({ inputData: { amount: 1 } });
  const racing = await Promise.allSettled([1, 2, 3].map(() => run.resumeAsync({ resumeData: true })));
  const lost = racing.filter(each => each.status === 'rejected').map(each => each.reason);
  assert.equal(lost.length, 2);
  for (const error of lost) {
    assert.equal(error.status, 409);
    assert(['resume-conflict', 'run-state'].includes(error.body.code), error.body.code);
  }
  assert.equal((await client.getWorkflow('approval').runById(run.runId)).status, 'success');
});

test('schedules', async () => {
  const made = await client.createSchedule({
    id: 'nightly', workflowId: 'count', cron: '0 2 * * *', timezone: 'Europe/Berlin', inputData: { amount: 1 },
    requestContext: { tenant: 7 }, metadata: { owner: 'ops' },
  });
  assert.equal(made.status, 'active');
  assert(made.nextFireAt > made.createdAt);
  assert.deepEqual(await client.getSchedule('nightly'), made);
  const { schedules } = await client.listSchedules({ workflowId: 'count', status: 'active' });
  assert.deepEqual(schedules.map(each => each.id), ['nightly']);
  const changed = await client.updateSchedule('nightly', { cron: '0 3 * * *' });
  assert.equal(changed.cron, '0 3 * * *');
  assert.deepEqual(changed.requestContext, { tenant: 7 });
  assert.equal((await client.pauseSchedule('nightly')).status, 'paused');
  assert.equal((await client.resumeSchedule('nightly')).status, 'active');
  const { claimId } = await client.runSchedule('nightly');
  const run = await ended(client.getWorkflow('count'), claimId);
  assert.deepEqual([run.status, run.result], ['success', { total: 2, tenant: 7 }]);
  const { triggers } = await client.listScheduleTriggers('nightly', { limit: 10 });
  assert.deepEqual(triggers.map(each => [each.runId, each.triggerKind]), [[claimId, 'manual']]);
  await refused(client.createSchedule({ id: 'nightly', workflowId: 'count', cron: '@daily', inputData: { amount: 1 } }), 409, 'schedule-exists');
  await refused(client.createSchedule({ workflowId: 'count', cron: '61 * * * *', inputData: { amount: 1 } }), 400, 'input');
  await client.deleteSchedule('nightly');
  await refused(client.getSchedule('nightly'), 404, 'schedule-not-found');
});

test('tokens', async () => {
  const nobody = new MastraClient({ baseUrl: protectedUrl, retries: 0 });
  await refused(nobody.listWorkflows(), 401, 'unauthenticated');
  await refused(bearer('wrong').listWorkflows(), 401, 'unauthenticated');
  const reader = bearer('secret-of-reader-012345').getWorkflow('count');
  assert.equal((await reader.details()).name, 'count');
  await refused(reader.createRun(), 403, 'scope-too-small');
  const boss = bearer('secret-of-boss-0123456789').getWorkflow('count');
  const foreign = await boss.createRun({ resourceId: 'eve' });
  const ada = bearer('secret-of-ada-0123456789').getWorkflow('count');
  await refused(ada.runById(foreign.runId), 403, 'foreign-run');
  const free = await boss.createRun();
  await refused(ada.runById(free.runId), 403, 'foreign-run');
  const own = await ada.createRun({ resourceId: 'eve' });
  assert.equal((await boss.runById(own.runId)).resourceId, 'ada');
});

test('every method of the client that concerns workflows was called above, but those of stored definitions', () => {
  assert.deepEqual([...known].filter(method => !called.has(method)).sort(), [
    'MastraClient.getDynamicWorkflow',
    'MastraClient.getWorkflowBuilderSettings',
    'MastraClient.listDynamicWorkflows',
    'MastraClient.upsertDynamicWorkflow',
  ]);
});
