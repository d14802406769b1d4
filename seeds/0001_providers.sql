-- Why: the providers every gateway starts with. Their addresses and credentials come from the environment, anew at each start.
INSERT INTO providers (id, name, kind, base_url, credential_source, is_sandbox, position) VALUES
    ('prv_s1s54ehcywx9srmf', 'openai', 'openai', 'env:OPENAI_BASE_URL', 'env:OPENAI_API_KEY', false, 10),
    ('prv_nmw58cjygaamfffq', 'google', 'google', 'env:GOOGLE_BASE_URL', 'env:GOOGLE_API_KEY', false, 20),
    ('prv_4d0v4t3hfrtmc7wr', 'anthropic', 'anthropic', 'env:ANTHROPIC_BASE_URL', 'env:ANTHROPIC_API_KEY', false, 30),
    ('prv_snadnv0sq3xcnpyp', 'sandbox', 'openai', 'sandbox', 'none', true, 90)
ON CONFLICT (name) DO NOTHING;
