-- Why: the three tiers. Targets are laid down only for a tier that has none: what an operator changed stays.
INSERT INTO tiers (name, mode) VALUES
    ('fast', 'chat'),
    ('smart', 'chat'),
    ('embedding', 'embedding')
ON CONFLICT (name) DO NOTHING;

INSERT INTO tier_targets (tier, position, provider_id, model_id)
SELECT given.tier, given.position, given.provider_id, given.model_id
FROM (VALUES
    ('fast', 1, 'prv_s1s54ehcywx9srmf', 'gpt-6-luna'),
    ('fast', 2, 'prv_nmw58cjygaamfffq', 'gemini-3.5-flash-lite'),
    ('smart', 1, 'prv_s1s54ehcywx9srmf', 'gpt-6.1-sol'),
    ('smart', 2, 'prv_nmw58cjygaamfffq', 'gemini-4-argon'),
    ('embedding', 1, 'prv_nmw58cjygaamfffq', 'gemini-embedding-001')
) AS given (tier, position, provider_id, model_id)
WHERE NOT EXISTS (SELECT FROM tier_targets t WHERE t.tier = given.tier);
